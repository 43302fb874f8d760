"""New rows of `events` beyond stored positions, in offset order, as Arrow tables.

Each row is returned once, even if maintenance rewrites files: only rows beyond the
position of their partition are returned, in offset order within a partition. A row that
retention removed is skipped; the position moves past its offset.
"""

import time
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from schemas.arrow import EVENTS as SCHEMA
from schemas.batches import PolledEvents, Progress, by_partition
from schemas.kafka_time import oldest_kafka_ms
from semloop.delta.snapshot import Snapshot
from semloop.delta.streams import CAUGHT_UP, NEVER_READ, Partition
from semloop.delta.streams_table import StreamRow, StreamsTable
from semloop.delta.table import TableFollower
from semloop.errors import StorageUnavailable, TopicChanged
from semloop.storage.damage import naming
from semloop.storage.duckdb_access import READERS
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from sources.lake.ordered_rows import OrderedRows
from sources.lake.read_plan import (
    PlannedFile,
    UnreadFilter,
    group_files,
    plan_file,
)
from sources.lake.streams import EVENTS, TopicStreams

# Rows of a poll: a few megabytes, enough to make the cost per step negligible.
ROWS_MAX = 10_000
# Shared by empty polls: creating one each time would be a third of an idle flow's cost.
NOTHING = SCHEMA.empty_table()


class LakeReader:
    """Reads the partitions of one worker; independent of Bytewax."""

    def __init__(
        self,
        storage: Storage,
        streams: TopicStreams,
        positions: Mapping[Partition, int],
        rows_max: int = ROWS_MAX,
    ) -> None:
        """Start reading after `positions`: partition -> last offset consumed or -1.

        Args:
            storage: the lake.
            streams: streams of the topic when the positions were read.
            positions: one entry per partition of this reader.
            rows_max: maximum rows of a poll.
        """
        self._storage = storage
        self._streams = streams
        self._positions = dict(positions)
        self._rows_max = rows_max
        self._open = storage.opener()
        names = [name for origin in positions for name in streams.names[origin]]
        app_ids = [f"{name}{kind}" for name in names for kind in ("", CAUGHT_UP)]
        self._events = TableFollower(storage, EVENTS, app_ids)
        self._streams_table = StreamsTable(storage)
        self._stream_rows: tuple[StreamRow, ...] | None = None
        # The current snapshot; all its rows are consumed when `_rows` is unset.
        self._snapshot: Snapshot | None = None
        self._ends: dict[Partition, int] = {}
        self._caught_up_ms: dict[Partition, int] = {}
        self._seen_ms: int | None = None
        self._rows: OrderedRows | None = None
        # Files whose rows are all consumed, and the ends of the first snapshot.
        self._read: Set[str] = frozenset()
        self._first_ends: dict[Partition, int] | None = None

    @property
    def caught_up(self) -> bool:
        """True if all rows of the first snapshot have been returned."""
        return self._first_ends is not None and all(
            self._positions[partition] >= end - 1
            for partition, end in self._first_ends.items()
        )

    def poll(self) -> PolledEvents:
        """Return at most `rows_max` rows of the current snapshot; none at its end.

        An error loses and repeats no row: the next poll resumes after the last row
        that was returned.

        Raises:
            TopicChanged: the topic was recreated, or partitions were added.
            LakeError: the lake cannot be read.
            StorageUnavailable: it cannot be read now.
        """
        try:
            return self._poll_or_reset()
        except StorageUnavailable:
            # Maintenance may have removed files since they were listed.
            return self._poll_or_reset()

    def close(self) -> None:
        """Free the disk space of rows that were not returned."""
        self._reset()

    def _poll_or_reset(self) -> PolledEvents:
        try:
            with storage_errors(self._storage, f"read table {EVENTS}"):
                return self._poll()
        except Exception:
            self._reset()
            raise

    def _poll(self) -> PolledEvents:
        if self._rows is None and not self._take_snapshot():
            return self._polled({})
        assert self._rows is not None
        if self._rows.done:
            return self._completed()
        rows = self._rows.next()
        moved = {
            partition: own["kafka_offset"][-1].as_py()
            for partition, own in by_partition(rows)
        }
        self._positions |= moved
        return self._completed(rows) if self._rows.done else self._polled(moved, rows)

    def _polled(
        self, positions: Mapping[Partition, int], rows: pa.Table = NOTHING
    ) -> PolledEvents:
        complete = self._rows is None
        progress = Progress(
            positions,
            dict(self._ends),
            dict(self._caught_up_ms),
            self._seen_ms,
            complete=complete,
            oldest_ms=oldest_kafka_ms(rows["kafka_ts"]),
        )
        return PolledEvents(rows, progress)

    def _completed(self, rows: pa.Table = NOTHING) -> PolledEvents:
        """Record that the snapshot is consumed up to its last offsets."""
        for partition, end in self._ends.items():
            self._positions[partition] = max(self._positions[partition], end - 1)
        assert self._snapshot is not None
        self._read, self._rows = self._snapshot.files.keys(), None
        return self._polled(dict(self._positions), rows)

    def _take_snapshot(self) -> bool:
        """Open the newest snapshot; False if there was no commit since the last one."""
        seen_ms = time.time_ns() // 1_000_000
        snapshot = self._events.refresh()
        if snapshot is None:
            if self._positions:
                msg = f"Table {EVENTS} does not exist in {self._storage.root}."
                todo = "Check SEMLOOP_LAKE: a flow read this table there before."
                raise StorageUnavailable(msg, todo)
            self._first_ends = {}
            return False
        if snapshot is self._snapshot:
            self._seen_ms = seen_ms
            return False
        ends, caught_up_ms = self._archived_at(snapshot)
        # Read `streams` after `events`: a partition without a row there has no events.
        self._raise_if_changed()
        unread = UnreadFilter(self._positions)
        paths = [
            path
            for path, file in snapshot.files.items()
            if path not in self._read
            and any(file.may_contain(p, last) for p, last in self._positions.items())
        ]
        groups = group_files(self._planned(paths, unread))
        self._rows = OrderedRows(groups, unread, self._open, self._rows_max)
        self._snapshot = snapshot
        self._ends, self._caught_up_ms = ends, caught_up_ms
        self._seen_ms = seen_ms
        if self._first_ends is None:
            self._first_ends = ends
        return True

    def _archived_at(
        self, snapshot: Snapshot
    ) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """Return the ends and `caught_up_ms` that `archive` stored in a snapshot."""
        found = snapshot.transactions
        ends: dict[Partition, int] = {}
        caught_up_ms: dict[Partition, int] = {}
        for partition in self._positions:
            names = self._streams.names[partition]
            ends[partition] = 1 + max(found.get(name, NEVER_READ) for name in names)
            app_ids = [f"{name}{CAUGHT_UP}" for name in names]
            if times := [found[name] for name in app_ids if name in found]:
                caught_up_ms[partition] = max(times)
        return ends, caught_up_ms

    def _raise_if_changed(self) -> None:
        rows = self._streams_table.rows()
        if rows is self._stream_rows:
            return
        topic = self._streams.topic
        if TopicStreams.of(rows, topic) != self._streams:
            msg = f"Topic {topic!r} was recreated, or partitions were added."
            raise TopicChanged(msg, "Restart the flow to read the new partitions.")
        self._stream_rows = rows

    def _planned(self, paths: Sequence[str], unread: UnreadFilter) -> list[PlannedFile]:
        def plan(path: str) -> PlannedFile | None:
            name = f"{EVENTS}/{path}"
            with self._open(name) as file, naming(name):
                return plan_file(path, file, unread)

        if self._storage.on_s3:  # Most of the time is spent waiting for responses.
            with ThreadPoolExecutor(READERS) as pool:
                files = list(pool.map(plan, paths))
        else:
            files = [plan(path) for path in paths]
        return [file for file in files if file is not None]

    def _reset(self) -> None:
        """Reset, so that the next poll resumes from the newest snapshot."""
        if self._rows is not None:
            self._rows.close()
        self._rows = self._snapshot = None
        self._events.reopen()
