"""New rows of `events` beyond an origin, in offset order, as Arrow tables.

Whatever maintainers do, a row is handed on once: only rows beyond the position of their
partition are, and within a partition they come in the order of their offsets. A row
that retention took is simply not there; its offset is passed with the others.
"""

import time
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bytewax.inputs import DynamicSource, StatelessSourcePartition
from typing_extensions import override

from schemas.arrow import EVENTS as SCHEMA
from schemas.batches import PolledEvents, Standing, by_origin
from semloop.delta.snapshot import Snapshot
from semloop.delta.streams import CAUGHT_UP, Origin
from semloop.delta.streams_table import StreamRow, StreamsTable
from semloop.delta.table import TableFollower
from semloop.errors import StorageUnavailable, TopicChanged
from semloop.settings import Settings
from semloop.storage.errors import storage_errors
from semloop.storage.location import READERS, Storage
from sources.lake.ordered_rows import OrderedRows
from sources.lake.read_plan import Part, Wanted, part_of, runs_of
from sources.lake.streams import EVENTS, TopicStreams

# Rows of a poll: enough that the cost of a step does not count, a few megabytes.
ROWS_MAX = 10_000
# Between looks when nothing new is there: a millisecond of work in a folder, a request
# that is paid for in an object store.
LOOK_S = 0.2
LOOK_S3_S = 1.0

# Of a tick: made anew, it would be a third of what an idle flow costs.
NOTHING = SCHEMA.empty_table()

Poll = Callable[[], PolledEvents]
Guard = Callable[[Poll], Poll]


class LakeReader:
    """Reads the partitions of one worker; plain, without Bytewax."""

    def __init__(
        self,
        storage: Storage,
        streams: TopicStreams,
        positions: Mapping[Origin, int],
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
        self._standings: dict[Origin, Standing] = {}
        self._rows: OrderedRows | None = None
        # Files whose rows are all consumed, and how far the first snapshot was.
        self._read: Set[str] = frozenset()
        self._start: dict[Origin, int] | None = None

    @property
    def caught_up(self) -> bool:
        """Whether all that the first snapshot had has been handed on."""
        return self._start is not None and all(
            self._positions[origin] >= last for origin, last in self._start.items()
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
        moved = {o: own["kafka_offset"][-1].as_py() for o, own in by_origin(rows)}
        self._positions |= moved
        polled = self._completed() if self._rows.done else self._polled(moved)
        return replace(polled, events=rows)

    def _polled(self, positions: Mapping[Origin, int]) -> PolledEvents:
        complete = self._rows is None
        return PolledEvents(
            NOTHING, positions, dict(self._standings), complete=complete
        )

    def _completed(self) -> PolledEvents:
        """Whatever the snapshot says up to its last offsets is consumed."""
        for origin, standing in self._standings.items():
            passed = max(self._positions[origin], standing.last_offset)
            self._positions[origin] = passed
        assert self._snapshot is not None
        self._read, self._rows = self._snapshot.files.keys(), None
        return self._polled(dict(self._positions))

    def _take_snapshot(self) -> bool:
        """List what is new; False if nothing was committed since the last snapshot."""
        snapshot = self._events.refresh()
        if snapshot is None:
            if self._positions:
                msg = f"There is no table {EVENTS} in {self._storage.root}."
                todo = "Check SEMLOOP_LAKE: a flow has read this table there before."
                raise StorageUnavailable(msg, todo)
            self._start = {}
            return False
        if snapshot is self._snapshot:
            return False
        standings = self._standings_at(snapshot)
        # `streams` is read after the events: a partition without a row has no events.
        self._raise_if_changed()
        wanted = Wanted(self._positions)
        paths = [
            path
            for path, file in snapshot.files.items()
            if path not in self._read
            and any(file.may_hold(o, p) for o, p in self._positions.items())
        ]
        runs = runs_of(self._parts(paths, wanted))
        self._rows = OrderedRows(runs, wanted, self._open, self._rows_max)
        self._snapshot, self._standings = snapshot, standings
        if self._start is None:
            self._start = {o: s.last_offset for o, s in standings.items()}
        return True

    def _standings_at(self, snapshot: Snapshot) -> dict[Origin, Standing]:
        found = snapshot.transactions
        standings = {}
        for origin in self._positions:
            names = self._streams.names[origin]
            last = max(found.get(name, -1) for name in names)
            times = [found.get(f"{name}{CAUGHT_UP}") for name in names]
            caught_up_ms = max((ms for ms in times if ms is not None), default=None)
            standings[origin] = Standing(last, caught_up_ms)
        return standings

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


class LakeSource(DynamicSource[PolledEvents]):
    """Bytewax source: one `PolledEvents` per poll, a tick when nothing came.

    Unit of parallelism: a worker, which reads what `TopicStreams.owned` deals to it.
    Guarantee after a crash: none of its own; reading starts where `open_reader` says,
    which asks the tables.
    """

    def __init__(
        self,
        settings: Settings,
        open_reader: Callable[[int, int], LakeReader],
        *,
        until_caught_up: bool = False,
        guard: Guard = lambda poll: poll,
    ) -> None:
        """Nothing is opened before the flow runs.

        Args:
            settings: where the lake is, and how long it may be away.
            open_reader: (worker index, worker count) -> its reader, after taking over.
            until_caught_up: end once all that was there at the start is handed on.
            guard: wraps what may fail, to decide how the process ends.
        """
        self._settings = settings
        self._open_reader = open_reader
        self._until_caught_up = until_caught_up
        self._guard = guard

    @override
    def build(
        self, step_id: str, worker_index: int, worker_count: int
    ) -> "StatelessSourcePartition[PolledEvents]":
        reader = self._open_reader(worker_index, worker_count)
        return _Partition(
            reader, self._settings, self._guard, until_caught_up=self._until_caught_up
        )


class _Partition(StatelessSourcePartition[PolledEvents]):
    def __init__(
        self,
        reader: LakeReader,
        settings: Settings,
        guard: Guard,
        *,
        until_caught_up: bool,
    ) -> None:
        self._reader = reader
        self._poll = guard(self._patient_poll)
        self._retry_s = settings.storage_retry_s
        self._pause = timedelta(seconds=LOOK_S3_S if settings.on_s3 else LOOK_S)
        self._until_caught_up = until_caught_up
        self._away_since_s: float | None = None
        self._awake = datetime.now(UTC)
        self._done = False

    @override
    def next_batch(self) -> Sequence[PolledEvents]:
        if self._done:
            raise StopIteration
        polled = self._poll()
        if not polled.events.num_rows:
            self._awake = datetime.now(UTC) + self._pause
        if self._until_caught_up and self._reader.caught_up:
            self._done = True
            self._awake = datetime.now(UTC)
            return [replace(polled, last=True)]
        return [polled]

    @override
    def next_awake(self) -> datetime | None:
        return self._awake

    @override
    def close(self) -> None:
        # Bytewax calls this on a crash too: nothing is committed here.
        self._reader.close()

    def _patient_poll(self) -> PolledEvents:
        """A tick, while the lake is away for less than `storage_retry_s`."""
        try:
            polled = self._reader.poll()
        except StorageUnavailable:
            now = time.monotonic()
            if self._away_since_s is None:
                self._away_since_s = now
            if now - self._away_since_s > self._retry_s:
                raise
            return PolledEvents(NOTHING)
        self._away_since_s = None
        return polled
