"""Positions of the flows: the offsets of their last commits to the lake."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from semloop.delta.fence import FENCE, Fence
from semloop.delta.snapshot import read_snapshot
from semloop.delta.streams import CAUGHT_UP, MISROUTED, NEVER_READ, REPEATED, StreamId
from semloop.delta.streams_table import read_streams, rows_of
from semloop.flow_registry import ARCHIVE, FLOWS
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.kafka.topic import Topic

# Suffixes of a partition's app ids in a commit; the empty one has the last offset.
KINDS = ("", CAUGHT_UP, FENCE, MISROUTED, REPEATED)


@dataclass(frozen=True)
class Position:
    """Position of a flow in a partition, and what it has counted there so far.

    `misrouted` and `repeated`: events whose key is not their session, and those whose
    id another partition has, too; only `archive` counts them.
    """

    last_offset: int = NEVER_READ
    caught_up_ms: int | None = None
    epoch: int = 0
    misrouted: int = 0
    repeated: int = 0


def stream_of(topic: "Topic") -> StreamId:
    """Return the stream under which `archive` stores the offsets of a topic."""
    return StreamId(ARCHIVE.name, topic.cluster_id, topic.name, topic.topic_id)


def newest_stream(storage: Storage, topic: str) -> tuple[StreamId, int] | None:
    """Return the latest stream of a topic name in `archive`, and its partitions.

    For use when no broker is available to identify the current one.

    Raises:
        LakeError: the table cannot be read. StorageUnavailable: temporarily.
    """
    rows = [
        row
        for row in rows_of(ARCHIVE.name, ARCHIVE.main, read_streams(storage))
        if row.stream.topic == topic
    ]
    if not rows:
        return None
    stream = max(rows, key=lambda row: row.first_seen).stream
    topic_id = stream.topic_id
    partitions = [r.partition.number for r in rows if r.stream.topic_id == topic_id]
    return stream, max(partitions) + 1


def positions_of(
    storage: Storage, flow: str, archived: StreamId, partitions: int
) -> dict[int, Position]:
    """Return a flow's position in each partition of a stream that `archive` reads.

    Raises:
        LakeError: the tables cannot be read. StorageUnavailable: temporarily.
    """
    if flow == archived.flow:
        return positions(storage, archived, partitions)
    # Other flows store a topic under the cluster id that they recorded first.
    clusters = [
        row.stream.cluster_id
        for row in read_streams(storage)
        if (row.stream.flow, row.stream.topic_id) == (flow, archived.topic_id)
    ]
    if not clusters:
        return {p: Position() for p in range(partitions)}
    stream = StreamId(flow, clusters[0], archived.topic, archived.topic_id)
    return positions(storage, stream, partitions)


def behind(
    storage: Storage, flow: str, archived: StreamId, partitions: int
) -> dict[int, int]:
    """Return by partition how many offsets a flow is behind `archive`.

    Raises:
        LakeError: the tables cannot be read. StorageUnavailable: temporarily.
    """
    found = positions_of(storage, flow, archived, partitions)
    return {
        p: max(0, at.last_offset - found[p].last_offset)
        for p, at in positions(storage, archived, partitions).items()
    }


def positions(
    storage: Storage, stream: StreamId, partitions: int
) -> dict[int, Position]:
    """Return a flow's position in each partition, from its last commit.

    Raises:
        LakeError: the table cannot be read. StorageUnavailable: temporarily.
    """
    table = FLOWS[stream.flow].main
    names = {p: stream.app_id(table, p) for p in range(partitions)}
    app_ids = [name + kind for name in names.values() for kind in KINDS]
    snapshot = read_snapshot(storage, table, app_ids)
    numbers = snapshot.transactions if snapshot else {}
    return {
        partition: Position(
            numbers.get(name, NEVER_READ),
            numbers.get(f"{name}{CAUGHT_UP}"),
            Fence.unpack(numbers.get(f"{name}{FENCE}")).epoch,
            numbers.get(f"{name}{MISROUTED}", 0),
            numbers.get(f"{name}{REPEATED}", 0),
        )
        for partition, name in names.items()
    }
