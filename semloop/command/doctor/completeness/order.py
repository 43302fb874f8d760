"""Order check: no table is older than one that relies on it.

A flow resumes from the offsets of its main table, and a flow that reads the lake from
those of its own. So rows are missed if `events` is older than `episodes` or
`agent_metrics`, or if `dead_letters` is older than `events`. The opposite repairs
itself: the flow continues, and does not store again what is there.
"""

from collections.abc import Iterator, Mapping, Sequence

from semloop.command.doctor import Finding, fail, ok
from semloop.command.doctor.completeness import AGAIN, copy_again
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.figures import format_count
from semloop.delta.snapshot import read_snapshot
from semloop.delta.streams import LETTERS, NEVER_READ, Partition
from semloop.delta.streams_table import StreamRow, read_streams
from semloop.flow_registry import ARCHIVE, LAKE_READERS
from semloop.storage.location import Storage

CHECK = "order"
(LETTERS_TABLE,) = ARCHIVE.sides


def check(context: CheckContext) -> Iterator[Finding]:
    """Compare the offsets of the tables."""
    storage = context.require_storage()
    rows = read_streams(storage)
    # In this order: flows may commit in between.
    readers = {f.main: _offsets(storage, rows, f.main) for f in LAKE_READERS.values()}
    events = _offsets(storage, rows, ARCHIVE.main)
    noted = _offsets(storage, rows, ARCHIVE.main, LETTERS)
    letters = _offsets(storage, rows, LETTERS_TABLE)
    problems = []
    for table, offsets in readers.items():
        if not (ahead := _ahead(offsets, events)):
            continue
        found = f"{table} is ahead of events by {format_count(ahead, 'offset')}: "
        found += "events is older, or rows of it are lost"
        todo = f"{copy_again('events')} Else start `archive`, which reads them again "
        todo += f"as far as Kafka has them, or {AGAIN[table]}."
        problems.append(fail(CHECK, found, todo))
    if ahead := _ahead(noted, letters):
        found = f"dead_letters is older than events, by {format_count(ahead, 'offset')}"
        problems.append(fail(CHECK, found, copy_again(LETTERS_TABLE)))
    yield from problems or [ok(CHECK, "no table is older than one that relies on it")]


def _ahead(first: Mapping[Partition, int], second: Mapping[Partition, int]) -> int:
    """Return by how many offsets the first is ahead, over all partitions."""
    return sum(
        max(0, offset - second.get(partition, NEVER_READ))
        for partition, offset in first.items()
    )


def _offsets(
    storage: Storage, rows: Sequence[StreamRow], table: str, kind: str = ""
) -> dict[Partition, int]:
    """Return the offsets that a table stores, by partition."""
    own = [row for row in rows if row.table == table]
    snapshot = read_snapshot(storage, table, [row.app_id + kind for row in own])
    found: dict[Partition, int] = {}
    stored = snapshot.transactions if snapshot else {}
    for row in own:
        offset = stored.get(row.app_id + kind, NEVER_READ)
        # A topic that was renamed with its cluster has several names.
        found[row.partition] = max(offset, found.get(row.partition, NEVER_READ))
    return found
