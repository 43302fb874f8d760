"""How far the flows are: the offsets that their last commits put into the lake."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from semloop.delta.fence import FENCE, Fence
from semloop.delta.snapshot import read_snapshot
from semloop.delta.streams import CAUGHT_UP, NEVER_READ, StreamId
from semloop.delta.streams_table import read_streams
from semloop.flow_registry import ARCHIVE, FLOWS
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.kafka.topic import Topic

# What a commit keeps for a partition, behind its name: the last offset, and these.
KINDS = ("", CAUGHT_UP, FENCE)


@dataclass(frozen=True)
class Position:
    """How far a partition is in the lake."""

    last_offset: int = NEVER_READ
    caught_up_ms: int | None = None
    epoch: int = 0


def stream_of(topic: "Topic") -> StreamId:
    """The name under which `archive` files the offsets of a topic."""
    return StreamId(ARCHIVE.name, topic.cluster_id, topic.name, topic.topic_id)


def newest_stream(storage: Storage, topic: str) -> tuple[StreamId, int] | None:
    """The stream that `archive` met last under a topic's name, and its partitions.

    For when no broker can say which one is there now.

    Raises:
        LakeError: the table cannot be read. StorageUnavailable: not now.
    """
    rows = [
        row
        for row in read_streams(storage)
        if (row.stream.flow, row.table) == (ARCHIVE.name, ARCHIVE.main)
        and row.stream.topic == topic
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
    """Where a flow is in each partition of a stream that `archive` reads.

    Raises:
        LakeError: the tables cannot be read. StorageUnavailable: not now.
    """
    if flow == archived.flow:
        return positions(storage, archived, partitions)
    # Other flows file a topic by the name under which it was met first.
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
    """Partition -> offsets that `archive` has committed and a flow has not read yet.

    Raises:
        LakeError: the tables cannot be read. StorageUnavailable: not now.
    """
    found = positions_of(storage, flow, archived, partitions)
    return {
        p: max(0, at.last_offset - found[p].last_offset)
        for p, at in positions(storage, archived, partitions).items()
    }


def positions(
    storage: Storage, stream: StreamId, partitions: int
) -> dict[int, Position]:
    """Where a flow is in each partition, as its last commit says.

    Raises:
        LakeError: the table cannot be read. StorageUnavailable: not now.
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
        )
        for partition, name in names.items()
    }
