"""The tables of the flow `archive`: `dead_letters`, then `events`, exactly once.

`events` is the main table: its offsets alone say where reading resumes. Dead letters
are committed before it; on a replay, a record whose dead letter lies beyond the main
offset is settled and enters neither table again, whatever today's verdict is.
"""

from collections.abc import Callable, Sequence, Set

import pyarrow as pa
from typing_extensions import override

from schemas.arrow import DEAD_LETTERS, EVENTS
from schemas.batches import Decoded
from schemas.committed import CommittedOffsets
from semloop.delta.query import WriterQueries
from semloop.delta.streams import CAUGHT_UP, Partition, StreamId, Streams
from semloop.errors import BrokerUnavailable, StorageUnavailable
from semloop.flow_registry import ARCHIVE
from semloop.retry import retry
from sinks.archive_buffer import ArchiveBuffer
from sinks.archive_report import report
from sinks.archive_rows import (
    commit_events,
    commit_letters,
    first_of_redelivered,
    without_settled,
)
from sinks.delta.create_table import create
from sinks.delta.fenced_table import FencedTable
from sinks.delta.stamp import stamp
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
    ) -> None:
        """Nothing is opened yet; `take_over` does.

        Args:
            context: settings, lake, metrics and clock.
            stream: what is read, as its offsets are filed.
            owned: partitions of this worker, by number.
            same_topic: raises TopicChanged, or BrokerUnavailable without an answer.
            committed: where the offsets of each commit are put, for the reader.
        """
        super().__init__(context)
        self.idle_commit_s = context.settings.commits.idle_commit_s
        self._stream = stream
        self._owned = tuple(Partition(stream.topic_id, number) for number in owned)
        self._same_topic = same_topic
        self._committed = committed or CommittedOffsets(FLOW)
        self._buffer = ArchiveBuffer()
        self._caught_up: dict[Partition, int] = {}
        self._settled: set[tuple[int, int]] = set()

    def take_over(self, *, new_log: bool = False) -> dict[Partition, int]:
        """Fence off other writers; only then read where this one resumes.

        Where storage fails in the middle of it, all of it begins again.

        Returns:
            partition -> last offset read past, -1 if it was never read.

        Raises:
            TakenOver: a rival was later. LakeError: the lake holds another stream, or
                may not be written. StorageUnavailable: not within `storage_retry_s`.
        """

        def attempt() -> dict[Partition, int]:
            Takeover(*self.open(new_log=new_log)).run()
            return self.resume()

        return retry(
            attempt,
            on=StorageUnavailable,
            seconds=self.settings.commits.storage_retry_s,
        )

    def open(self, *, new_log: bool = False) -> tuple[FencedTable, list[FencedTable]]:
        """Make the tables if absent and open them: the main one and the side tables."""
        create(self._storage, MAIN)
        create(self._storage, SIDE)
        self._queries = WriterQueries(self._storage)
        numbers = [partition.number for partition in self._owned]
        register(
            self._storage, self._stream, (SIDE, MAIN), numbers, self._context.now(),
            new_log=new_log,
        )  # fmt: skip
        self._main, self._side = self._table(MAIN), self._table(SIDE)
        return self._main, [self._side]

    def resume(self) -> dict[Partition, int]:
        """After the take-over: offsets and settled records, as the fences saw them."""
        offsets = dict(self._main.offsets)
        if offsets:
            lowest = min(offsets.values())
            found = self._queries.origins_beyond(
                self._side, self._stream.topic_id, lowest
            )
            self._settle(found)
        return offsets

    def recent_ids(self) -> dict[int, tuple[list[str], list[int]]]:
        """Event ids and Kafka ms by partition, that the dedupe windows start with."""
        settings = self.settings
        age_ms = int(settings.archive.dedupe_hours * 3_600_000)
        return retry(
            lambda: self._queries.newest_ids(
                self._main, self._stream.topic_id, settings.archive.dedupe_ids, age_ms
            ),
            on=StorageUnavailable,
            seconds=settings.commits.storage_retry_s,
        )

    @property
    def settled(self) -> Set[tuple[int, int]]:
        """(partition, offset) of records beyond the main offset with a dead letter."""
        return self._settled

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
    def keep(self, item: Decoded) -> bool:
        self._buffer.add(item)
        self._caught_up |= item.progress.caught_up_ms
        return item.progress.last

    @override
    def may_commit(self) -> bool:
        """Whether the broker says that it is still the same topic."""
        try:
            self._same_topic()
        except BrokerUnavailable:
            return False
        return True

    @override
    def is_level(self) -> bool:
        return self._caught_up.keys() >= set(self._owned)

    @override
    def commit(self) -> None:
        buffer, self._buffer = self._buffer, ArchiveBuffer()
        now = self._context.now()
        dead = self._new_rows(buffer.dead_letters(), self._side, "id", buffer)
        if dead.num_rows:
            letters = stamp(dead, DEAD_LETTERS, now)
            self._timed(
                SIDE, lambda: commit_letters(self._side, letters, buffer.positions)
            )
        events = self._new_rows(buffer.events(), self._main, "event_id", buffer)
        rows = stamp(events, EVENTS, now)
        numbers = {(p, CAUGHT_UP): ms for p, ms in self._caught_up.items()}
        tables = (self._main, self._side)
        refused = self._timed(
            MAIN, lambda: commit_events(tables, rows, buffer.positions, numbers, now)
        )
        self._settle(self._settled)
        self._report_freshness(events)
        report(self._metrics, buffer, (events, dead), refused, self._main)
        self._committed.put(self._main.offsets)

    def _settle(self, found: Set[tuple[int, int]]) -> None:
        """Keep of some records with a dead letter those beyond the main offset."""
        main = {p.number: offset for p, offset in self._main.offsets.items()}
        self._settled = {(p, o) for p, o in found if o > main.get(p, o)}

    def _new_rows(
        self,
        rows: pa.Table,
        table: FencedTable,
        id_column: str,
        buffer: ArchiveBuffer,
    ) -> pa.Table:
        """Rows without the settled ones and without those sent again on purpose."""
        rows = without_settled(rows, self._settled)
        if not buffer.redelivered_ids:
            return rows
        again = buffer.redelivered_ids.intersection(rows[id_column].to_pylist())
        if not again:
            return rows
        stored = retry(
            lambda: self._queries.existing(table, id_column, again),
            on=StorageUnavailable,
            seconds=self.settings.commits.storage_retry_s,
        )
        return first_of_redelivered(rows, id_column, again, stored)

    def _table(self, name: str) -> FencedTable:
        return self._context.fenced_table(
            name, Streams.of(self._stream), self._owned, self._count_retry
        )
