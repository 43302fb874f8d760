"""New rows of `events` beyond an origin, in offset order, as Arrow tables.

Whatever maintainers do, a row is handed on once: only rows beyond the position of their
partition are, and within a partition they come in the order of their offsets. A row
that retention took is simply not there; its offset is passed with the others.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
from deltalake import DeltaTable

from schemas.arrow import EVENTS as SCHEMA
from schemas.batches import PolledEvents, Progress, by_partition
from semloop.delta.streams import CAUGHT_UP, NEVER_READ, Partition
from semloop.delta.table import READ_ERRORS, FollowedTable, Numbers, files_of, reading
from semloop.errors import TopicChanged
from semloop.storage.location import READERS, Storage
from sources.lake.ordered_rows import OrderedRows
from sources.lake.read_plan import Part, Wanted, part_of, runs_of
from sources.lake.streams import EVENTS, STREAMS, TopicStreams

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
        self._events = FollowedTable(storage, EVENTS)
        self._streams_table = FollowedTable(storage, STREAMS)
        self._streams_version = -1
        names = [name for origin in positions for name in streams.names[origin]]
        kinds = [f"{name}{kind}" for name in names for kind in ("", CAUGHT_UP)]
        self._numbers = Numbers(storage, EVENTS, kinds)
        # The snapshot that is being read, or was read to its end: `_rows` is None.
        self._table_id = ""
        self._version = -1
        self._ends: dict[Partition, int] = {}
        self._caught_up_ms: dict[Partition, int] = {}
        self._files: set[str] = set()
        self._rows: OrderedRows | None = None
        # Files whose rows are all consumed, and how far the first snapshot was.
        self._read: set[str] = set()
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
        with reading(self._storage):
            try:
                return self._poll_or_begin_again()
            except READ_ERRORS:
                # A maintainer may have removed files since they were listed.
                return self._poll_or_begin_again()

    def close(self) -> None:
        """Give back the space of rows that were not handed on."""
        self._begin_again()

    def _poll_or_begin_again(self) -> PolledEvents:
        try:
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
        self._read, self._rows = self._files, None
        return self._polled(dict(self._positions), rows)

    def _take_snapshot(self) -> bool:
        """List what is new; False if nothing was committed since the last snapshot."""
        if not self._positions and not self._storage.has(EVENTS):
            self._first_ends = {}
            return False
        handle = self._events.newest()
        if self._events.opened:
            self._recognise(handle)
        version = handle.version()
        if version == self._version:
            return False
        ends, caught_up_ms = self._archived_at(handle)
        # After the events: whoever is not named yet has no rows there.
        self._raise_if_changed()
        files = files_of(handle)
        wanted = Wanted(self._positions)
        paths = [
            path
            for path, bounds in files.items()
            if path not in self._read
            and any(bounds.may_hold(o, p) for o, p in self._positions.items())
        ]
        runs = runs_of(self._parts(paths, wanted))
        self._rows = OrderedRows(runs, wanted, self._open, self._rows_max)
        self._version, self._files = version, set(files)
        self._ends, self._caught_up_ms = ends, caught_up_ms
        if self._first_ends is None:
            self._first_ends = ends
        return True

    def _recognise(self, handle: DeltaTable) -> None:
        """A table that was made again counts its versions anew."""
        table_id = str(handle.metadata().id)
        if table_id != self._table_id:
            self._table_id = table_id
            self._version = -1
            self._numbers.forget()

    def _archived_at(
        self, handle: DeltaTable
    ) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """How far `archive` is in a version of `events`: ends, and `caught_up_ms`."""
        found = self._numbers.at(handle)
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
        version = self._streams_table.newest().version()
        if version == self._streams_version:
            return
        topic = self._streams.topic
        if TopicStreams.of(self._storage, self._streams_table, topic) != self._streams:
            msg = f"Topic {topic!r} was made again or got partitions."
            raise TopicChanged(msg, "Start the flow again to read them, too.")
        self._streams_version = version

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
        self._rows = None
        self._version = -1
        self._events.forget()
