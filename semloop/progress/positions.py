"""How far the flows are: the offsets that their last commits put into the lake."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from semloop.delta.fence import FENCE, Fence
from semloop.delta.streams import NEVER_READ
from semloop.flow_registry import ARCHIVE, flow_of
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.delta.streams import StreamId
    from semloop.kafka.topic import Topic

STREAMS = "streams"


@dataclass(frozen=True)
class Position:
    """How far a partition is in the lake."""

    last_offset: int = NEVER_READ
    caught_up_ms: int | None = None
    epoch: int = 0


def stream_of(topic: "Topic") -> "StreamId":
    """The name under which `archive` files the offsets of a topic."""
    from semloop.delta.streams import StreamId

    return StreamId(ARCHIVE.name, topic.cluster_id, topic.name, topic.topic_id)


def newest_stream(storage: Storage, topic: str) -> "tuple[StreamId, int] | None":
    """The log that `archive` met last under a topic's name, and its partitions.

    For when no broker can say which one is there now.
    """
    from semloop.delta.streams import StreamId

    rows = [
        row
        for row in _streams(storage)
        if (row["flow"], row["table_name"], row["topic"])
        == (ARCHIVE.name, ARCHIVE.main, topic)
    ]
    if not rows:
        return None
    last = max(rows, key=lambda row: row["first_seen"])
    log = StreamId(ARCHIVE.name, last["cluster_id"], topic, last["topic_id"])
    partitions = [r["kafka_partition"] for r in rows if r["topic_id"] == log.topic_id]
    return log, max(partitions) + 1


def positions_of(
    storage: Storage, flow: str, archived: "StreamId", partitions: int
) -> dict[int, Position]:
    """Where a flow is in each partition of a log that `archive` reads.

    Raises:
        LakeError: the tables cannot be read. StorageUnavailable: not now.
    """
    from semloop.delta.streams import StreamId

    if flow == archived.flow:
        return positions(storage, archived, partitions)
    # Other flows file a topic by the name under which it was met first.
    clusters = [
        row["cluster_id"]
        for row in _streams(storage)
        if (row["flow"], row["topic_id"]) == (flow, archived.topic_id)
    ]
    if not clusters:
        return {p: Position() for p in range(partitions)}
    log = StreamId(flow, clusters[0], archived.topic, archived.topic_id)
    return positions(storage, log, partitions)


def positions(
    storage: Storage, log: "StreamId", partitions: int
) -> dict[int, Position]:
    """Where a flow is in each partition, as its last commit says.

    Raises:
        LakeError: the table cannot be read. StorageUnavailable: not now.
    """
    from deltalake.exceptions import DeltaError

    from semloop.delta.streams import CAUGHT_UP

    table = flow_of(log.flow).main
    try:
        if not storage.has(table):
            return {p: Position() for p in range(partitions)}
        version = storage.open(table).transaction_version
    except (DeltaError, OSError) as error:
        raise storage.trouble(error) from error
    found = {}
    for partition in range(partitions):
        name = log.app_id(table, partition)
        last = version(name)
        found[partition] = Position(
            NEVER_READ if last is None else last,
            version(f"{name}{CAUGHT_UP}"),
            Fence.unpack(version(f"{name}{FENCE}")).epoch,
        )
    return found


def _streams(storage: Storage) -> Sequence[dict[str, Any]]:
    from deltalake.exceptions import DeltaError

    from semloop.delta.snapshot import Snapshot

    try:
        if not storage.has(STREAMS):
            return []
        return Snapshot(storage).all(STREAMS)
    except (DeltaError, OSError) as error:
        raise storage.trouble(error) from error
