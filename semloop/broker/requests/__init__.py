"""The requests that the broker answers: key, versions, function.

The names and versions are those of Kafka's protocol. A client uses the newest version
that both know. Produce versions before 3 are only listed: librdkafka takes a broker
without them for one that knows no message formats.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from semloop.broker.broker import Broker
from semloop.broker.requests import fetching, groups, members, metadata, producing
from semloop.broker.requests import topics as of_topics
from semloop.broker.wire import Reader, Writer

Answer = Callable[[Broker, Reader, Writer, int], Awaitable[None] | None]


class Api(NamedTuple):
    """A kind of request. `flexible`: first version with compact fields."""

    first: int
    last: int
    answer: Answer
    flexible: int = 99


API_VERSIONS = 18
APIS: dict[int, Api] = {
    0: Api(0, 8, producing.produce),
    1: Api(4, 11, fetching.fetch),
    2: Api(1, 5, fetching.list_offsets),
    3: Api(0, 12, metadata.metadata, flexible=9),
    8: Api(2, 7, groups.offset_commit),
    9: Api(1, 5, groups.offset_fetch),
    10: Api(0, 2, metadata.find_coordinator),
    11: Api(0, 2, members.join_group),
    12: Api(0, 1, members.heartbeat),
    13: Api(0, 1, members.leave_group),
    14: Api(0, 1, members.sync_group),
    15: Api(0, 1, groups.describe_groups),
    16: Api(0, 2, groups.list_groups),
    17: Api(0, 1, metadata.sasl_handshake),
    19: Api(0, 4, of_topics.create_topics),
    20: Api(0, 3, of_topics.delete_topics),
    21: Api(0, 1, of_topics.delete_records),
    22: Api(0, 1, producing.init_producer_id),
    32: Api(0, 3, metadata.describe_configs),
    37: Api(0, 1, of_topics.create_partitions),
}


def api_versions(_: Broker, __: Reader, response: Writer, version: int) -> None:
    """Say which requests the broker knows. Version 0 also answers unknown ones."""
    from semloop.broker.errors import Code

    known = version <= APIS[API_VERSIONS].last
    compact = known and version >= 3
    response.i16(Code.NONE if known else Code.UNSUPPORTED_VERSION)
    response.count(len(APIS), compact=compact)
    for key, api in sorted(APIS.items()):
        response.i16(key)
        response.i16(api.first)
        response.i16(api.last)
        response.tags(compact=compact)
    if known and version >= 1:
        response.i32(0)
    response.tags(compact=compact)


APIS[API_VERSIONS] = Api(0, 3, api_versions, flexible=3)
