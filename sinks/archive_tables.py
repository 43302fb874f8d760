"""The tables of the flow `archive`: `dead_letters`, then `events`, exactly once.

`events` is the main table: only its offsets determine where reading resumes. Dead
letters are committed first. When records are re-read, one whose dead letter is beyond
the main offset is not written to either table again, even if it is now judged valid.
"""

from collections.abc import Callable, Sequence, Set
from functools import partial

import pyarrow as pa
from typing_extensions import override

from schemas.arrow import DEAD_LETTERS, EVENTS
from schemas.batches import Decoded
from schemas.committed import CommittedOffsets
from semloop.delta.streams import CAUGHT_UP, Partition, StreamId, Streams
from semloop.errors import BrokerUnavailable, StorageUnavailable
from semloop.event_keys import event_keys
from semloop.flow_registry import ARCHIVE
from semloop.retry import retry
from sinks.archive_buffer import ArchiveBuffer
from sinks.archive_counters import KeyCounters
from sinks.archive_report import (
    corrections,
    counts_by_agent,
    report,
    report_agents,
)
from sinks.archive_rows import (
    commit_dead_letters,
    commit_events,
    without_dead_lettered,
    without_redelivered,
)
from sinks.artifact_objects import put_artifacts
from sinks.dead_letter_actions import park_failed, settle
from sinks.dead_letter_limit import DeadLetterLimit
from sinks.delta.commit_columns import with_commit_columns
from sinks.delta.create_table import create
from sinks.delta.fenced_table import FencedTable
from sinks.delta.rejected_rows import dead_letter_of
from sinks.delta.streams_table import register
from sinks.delta.takeover import Takeover
from sinks.flow_tables import FlowContext, FlowTables, Waiting

FLOW = ARCHIVE.name
MAIN = ARCHIVE.main
(SIDE,) = ARCHIVE.sides


class ArchiveTables(FlowTables[Decoded]):
    """The writer of `dead_letters` and `events` for the partitions of one worker.

    Unit of parallelism: a worker. Guarantee: every record that was read is in the
    tables exactly once, across crashes, second copies and lost replies.
    """

    flow = FLOW

    def __init__(
        self,
        context: FlowContext,
        stream: StreamId,
        owned: Sequence[int],
        same_topic: Callable[[], None] = lambda: None,
        committed: CommittedOffsets | None = None,
        limit: DeadLetterLimit | None = None,
    ) -> None:
        """Open no table yet; `take_over` does.

        Args:
            context: settings, lake, metrics and clock.
            stream: the stream that the flow reads; names its stored offsets.
            owned: numbers of this worker's partitions.
            same_topic: raises TopicChanged, or BrokerUnavailable if no broker answers.
            committed: receives the offsets of each commit, for the reader.
            limit: how many of the records may become dead letters.
        """
        super().__init__(context)
        self.idle_commit_s = context.settings.commits.idle_commit_s
        self._stream = stream
        self._owned = tuple(Partition(stream.topic_id, number) for number in owned)
        self._same_topic = same_topic
        self._committed = committed or CommittedOffsets(FLOW)
        self._limit = limit or DeadLetterLimit(self.settings.archive)
        self._buffer = ArchiveBuffer()
        self._caught_up: dict[Partition, int] = {}
        self._dead_lettered: set[tuple[int, int]] = set()

    def take_over(self, *, new_log: bool = False) -> dict[Partition, int]:
        """Fence off other writers, then read the positions to resume from.

        If storage fails in between, all steps are retried from the first.

        Returns:
            partition -> last offset read past, -1 if it was never read.

        Raises:
            TakenOver: a rival took over later. LakeError: the lake contains another
                stream, or is not writable. StorageUnavailable: storage did not recover
                within `storage_retry_s`.
        """

        def attempt() -> dict[Partition, int]:
            Takeover(*self.open(new_log=new_log)).run()
            return self.resume()

        retry_s = self.settings.commits.storage_retry_s
        return retry(attempt, on=StorageUnavailable, seconds=retry_s)

    def open(self, *, new_log: bool = False) -> tuple[FencedTable, list[FencedTable]]:
        """Create absent tables; return the main table and the side tables, opened."""
        create(self._storage, MAIN)
        create(self._storage, SIDE)
        self._queries = self._context.open_queries(self._storage)
        numbers = [partition.number for partition in self._owned]
        register(
            self._storage, self._stream, (SIDE, MAIN), numbers, self._context.now(),
            new_log=new_log,
        )  # fmt: skip
        self._main, self._side = self._table(MAIN), self._table(SIDE)
        return self._main, [self._side]

    def resume(self) -> dict[Partition, int]:
        """Return the offsets of the fenced version, and load its dead letters."""
        offsets = dict(self._main.offsets)
        self._counters = KeyCounters(self._main, self._owned)
        self._limit.load(self._main.stored, self._owned)
        if offsets:
            lowest = min(offsets.values())
            found = self._queries.origins_beyond(
                self._side, self._stream.topic_id, lowest
            )
            self._set_dead_lettered(found)
        return offsets

    def recent_ids(self) -> dict[int, tuple[list[str], list[int]]]:
        """Partition -> keys of events and when they arrived, for dedupe windows."""
        settings = self.settings
        age_ms = int(settings.archive.dedupe_hours * 3_600_000)
        return retry(
            lambda: self._queries.newest_keys(
                self._main, self._stream.topic_id, settings.archive.dedupe_ids, age_ms
            ),
            on=StorageUnavailable,
            seconds=settings.commits.storage_retry_s,
        )

    @property
    def already_dead_lettered(self) -> Set[tuple[int, int]]:
        """(partition, offset) of records with a dead letter beyond the main offset."""
        return self._dead_lettered

    @property
    @override
    def fenced(self) -> Sequence[FencedTable]:
        return (self._main, self._side)

    @property
    @override
    def waiting(self) -> Waiting:
        buffer = self._buffer
        return Waiting(buffer.rows, buffer.bytes, bool(buffer.positions))

    @override
    def add_to_buffer(self, item: Decoded) -> bool:
        self._buffer.add(item)
        self._buffer.count_late(item.events, self._caught_up, self.settings)
        self._caught_up |= item.progress.caught_up_ms
        return item.progress.last

    @override
    def may_commit(self) -> bool:
        """True if the broker confirms that the topic is still the same."""
        try:
            self._same_topic()
        except BrokerUnavailable:
            return False
        return True

    @override
    def is_caught_up(self) -> bool:
        return self._caught_up.keys() >= set(self._owned)

    @override
    def commit(self) -> None:
        buffer, self._buffer = self._buffer, ArchiveBuffer()
        now = self._context.now()
        dead, events = self._new_letters(buffer), self._new_events(buffer)
        self._limit.check(events, dead, buffer.redelivered_ids)
        # Before both commits: what they contain is not seen again after a crash.
        settle(self._context, self._stream, buffer.replayed, self._dead_lettered)
        park_failed(self._context, dead)
        if dead.num_rows:
            letters = with_commit_columns(dead, DEAD_LETTERS, now)
            self._timed(
                SIDE, lambda: commit_dead_letters(self._side, letters, buffer.positions)
            )
        # Before the positions: who sees them sees what became of the records.
        self._count(counts := counts_by_agent(events, dead, buffer))
        put_artifacts(self._context, events, buffer.artifacts)
        rows = with_commit_columns(events, EVENTS, now)
        numbers = {(p, CAUGHT_UP): ms for p, ms in self._caught_up.items()}
        numbers |= self._counters.add(buffer, self._side)
        numbers |= self._limit.add(events, dead, buffer.redelivered_ids)
        letter_of = partial(dead_letter_of, now=now, marks=buffer.marks)
        tables = (self._main, self._side)
        rejected = self._timed(
            MAIN,
            lambda: commit_events(tables, rows, buffer.positions, numbers, letter_of),
        )
        park_failed(self._context, rejected)
        self._set_dead_lettered(self._dead_lettered)
        self._report_delays(events["kafka_ts"])
        if corrected := corrections(rejected):
            self._count(corrected)
        report_agents(self._metrics, counts, corrected)
        report(self._metrics, buffer, (events, dead), rejected.num_rows, self._main)
        self._committed.put(self._main.offsets)

    def _set_dead_lettered(self, found: Set[tuple[int, int]]) -> None:
        """Remember the records with a dead letter that are beyond the main offset."""
        main = {p.number: offset for p, offset in self._main.offsets.items()}
        self._dead_lettered = {(p, o) for p, o in found if o > main.get(p, o)}

    def _new_letters(self, buffer: ArchiveBuffer) -> pa.Table:
        """Return the dead letters of records that have none in the table."""
        rows = without_dead_lettered(buffer.dead_letters(), self._dead_lettered)
        ids = rows["id"].to_pylist()
        existing = partial(self._queries.existing_letters, self._side)
        retry_s = self.settings.commits.storage_retry_s
        return without_redelivered(rows, ids, buffer.redelivered_ids, existing, retry_s)

    def _new_events(self, buffer: ArchiveBuffer) -> pa.Table:
        """Return the events that are not in the table and have no dead letter."""
        rows = without_dead_lettered(buffer.events(), self._dead_lettered)
        everywhere = self.settings.archive.dedupe == "lake"
        if not (everywhere or buffer.redelivered_ids):
            return rows
        keys = event_keys(rows)
        looked_up = frozenset(keys) if everywhere else buffer.redelivered_ids
        existing = partial(self._queries.existing_events, self._main)
        return without_redelivered(
            rows, keys, looked_up, existing, self.settings.commits.storage_retry_s
        )

    def _table(self, name: str) -> FencedTable:
        return self._context.fenced_table(
            name, Streams.of(self._stream), self._owned, self._count_retry
        )
