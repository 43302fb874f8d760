"""New rows of `events` beyond an origin, in offset order, as Arrow tables.

Whatever maintainers do, a row is handed on once: only rows beyond the position of their
partition are, and within a partition they come in the order of their offsets. A row
that retention took is simply not there; its offset is passed with the others.
"""

from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from schemas.arrow import EVENTS as SCHEMA
from schemas.batches import PolledEvents, Progress, by_partition
from semloop.delta.snapshot import Snapshot
from semloop.delta.streams import CAUGHT_UP, NEVER_READ, Partition
from semloop.delta.streams_table import StreamRow, StreamsTable
from semloop.delta.table import TableFollower
from semloop.errors import StorageUnavailable, TopicChanged
from semloop.storage.duckdb_access import READERS
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from sources.lake.ordered_rows import OrderedRows
from sources.lake.read_plan import Part, Wanted, part_of, runs_of
from sources.lake.streams import EVENTS, TopicStreams

# Rows of a poll: enough that the cost of a step does not count, a few megabytes.
ROWS_MAX = 10_000
# Of a tick: made anew, it would be a third of what an idle flow costs.
NOTHING = SCHEMA.empty_table()


class LakeReader:
    """Reads the partitions of one worker; plain, without Bytewax."""

    def __init__(
        self,
        storage: Storage,
        streams: TopicStreams,
        positions: Mapping[Partition, int],
        rows_max: int = ROWS_MAX,
    ) -> None:
        """Start reading behind `positions`: origin -> last one consumed, -1 for none.

        Args:
            storage: the lake.
            streams: what was known of the topic when the positions were read.
            positions: of the origins of this reader.
            rows_max: rows of a poll.
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
        # The snapshot that is being read, or was read to its end: `_rows` is None.
        self._snapshot: Snapshot | None = None
        self._ends: dict[Partition, int] = {}
        self._caught_up_ms: dict[Partition, int] = {}
        self._rows: OrderedRows | None = None
        # Files whose rows are all consumed, and how far the first snapshot was.
        self._read: Set[str] = frozenset()
        self._first_ends: dict[Partition, int] | None = None

    @property
    def caught_up(self) -> bool:
        """Whether all that the first snapshot had has been handed on."""
        return self._first_ends is not None and all(
            self._positions[partition] >= end - 1
            for partition, end in self._first_ends.items()
        )

    def poll(self) -> PolledEvents:
        """At most `rows_max` rows of the snapshot under way; none at its end.

        Nothing is lost or repeated by an error: the next poll goes on behind the last
        row that was handed on.

        Raises:
            TopicChanged: the topic was made again, or got partitions.
            LakeError: the lake cannot be read. StorageUnavailable: not now.
        """
        try:
            return self._poll_or_begin_again()
        except StorageUnavailable:
            # A maintainer may have removed files since they were listed.
            return self._poll_or_begin_again()

    def close(self) -> None:
        """Give back the space of rows that were not handed on."""
        self._begin_again()

    def _poll_or_begin_again(self) -> PolledEvents:
        try:
            with storage_errors(self._storage, f"read table {EVENTS}"):
                return self._poll()
        except Exception:
            self._begin_again()
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
            positions, dict(self._ends), dict(self._caught_up_ms), complete=complete
        )
        return PolledEvents(rows, progress)

    def _completed(self, rows: pa.Table = NOTHING) -> PolledEvents:
        """Whatever the snapshot says up to its last offsets is consumed."""
        for partition, end in self._ends.items():
            self._positions[partition] = max(self._positions[partition], end - 1)
        assert self._snapshot is not None
        self._read, self._rows = self._snapshot.files.keys(), None
        return self._polled(dict(self._positions), rows)

    def _take_snapshot(self) -> bool:
        """List what is new; False if nothing was committed since the last snapshot."""
        snapshot = self._events.refresh()
        if snapshot is None:
            if self._positions:
                msg = f"There is no table {EVENTS} in {self._storage.root}."
                todo = "Check SEMLOOP_LAKE: a flow has read this table there before."
                raise StorageUnavailable(msg, todo)
            self._first_ends = {}
            return False
        if snapshot is self._snapshot:
            return False
        ends, caught_up_ms = self._archived_at(snapshot)
        # `streams` is read after the events: a partition without a row has no events.
        self._raise_if_changed()
        wanted = Wanted(self._positions)
        paths = [
            path
            for path, file in snapshot.files.items()
            if path not in self._read
            and any(file.may_contain(p, last) for p, last in self._positions.items())
        ]
        runs = runs_of(self._parts(paths, wanted))
        self._rows = OrderedRows(runs, wanted, self._open, self._rows_max)
        self._snapshot = snapshot
        self._ends, self._caught_up_ms = ends, caught_up_ms
        if self._first_ends is None:
            self._first_ends = ends
        return True

    def _archived_at(
        self, snapshot: Snapshot
    ) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """How far `archive` is in a version of `events`: ends, and `caught_up_ms`."""
        found = snapshot.transactions
        ends: dict[Partition, int] = {}
        caught_up_ms: dict[Partition, int] = {}
        for partition in self._positions:
            names = self._streams.names[partition]
            ends[partition] = 1 + max(found.get(name, NEVER_READ) for name in names)
            kept = [f"{name}{CAUGHT_UP}" for name in names]
            if times := [found[name] for name in kept if name in found]:
                caught_up_ms[partition] = max(times)
        return ends, caught_up_ms

    def _raise_if_changed(self) -> None:
        rows = self._streams_table.rows()
        if rows is self._stream_rows:
            return
        topic = self._streams.topic
        if TopicStreams.of(rows, topic) != self._streams:
            msg = f"Topic {topic!r} was made again or got partitions."
            raise TopicChanged(msg, "Start the flow again to read them, too.")
        self._stream_rows = rows

    def _parts(self, paths: Sequence[str], wanted: Wanted) -> list[Part]:
        def read(path: str) -> Part | None:
            with self._open(f"{EVENTS}/{path}") as file:
                return part_of(path, file, wanted)

        if self._storage.on_s3:  # Most of it is waiting.
            with ThreadPoolExecutor(READERS) as pool:
                parts = list(pool.map(read, paths))
        else:
            parts = [read(path) for path in paths]
        return [part for part in parts if part is not None]

    def _begin_again(self) -> None:
        """Read what is left from the newest snapshot, behind what was handed on."""
        if self._rows is not None:
            self._rows.close()
        self._rows = self._snapshot = None
        self._events.reopen()
