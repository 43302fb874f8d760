"""The tables of the flow `archive`: `dead_letters`, then `events`, exactly once.

`events` is the main table: its offsets alone say where reading goes on. Dead letters
are committed before it; on a replay a record whose dead letter lies beyond the main
offset is settled and enters neither table again, whatever today's verdict is.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from schemas.arrow import DEAD_LETTERS, EVENTS
from schemas.batches import Decoded
from schemas.dead_letter import Reason
from schemas.metrics import Metrics
from semloop.delta.query import WriterQueries
from semloop.delta.streams import CAUGHT_UP, StreamId
from semloop.errors import BrokerUnavailable, StorageUnavailable
from semloop.flow_registry import ARCHIVE
from semloop.retry import retry
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.buffer import Buffer
from sinks.delta.create_table import create
from sinks.delta.fenced_table import FencedTable, RowsRefused
from sinks.delta.stamp import stamp
from sinks.delta.streams_table import register
from sinks.delta.takeover import Takeover
from sinks.delta.unstorable import bare, halves, unstorable
from sinks.interval import is_over

FLOW = ARCHIVE.name
MAIN = ARCHIVE.main
(SIDE,) = ARCHIVE.sides
# Between questions to a broker that does not answer while the buffer is full.
ASK_AGAIN_S = 1.0
R = TypeVar("R")

log = structlog.get_logger(FLOW)


class ArchiveTables:
    """The writer of `dead_letters` and `events` for the partitions of one worker.

    Unit of parallelism: a worker. Guarantee: every record that was read is in the
    tables exactly once, across crashes, second copies and lost replies.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        name: StreamId,
        owned: Sequence[int],
        metrics: Metrics,
        same_topic: Callable[[], None] = lambda: None,
        committed: Callable[[Mapping[int, int]], None] = lambda offsets: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is opened yet; `take_over` does.

        Args:
            settings: bounds and intervals.
            storage: the lake.
            name: what is read, as its offsets are filed.
            owned: partitions of this worker.
            metrics: where counts go.
            same_topic: raises TopicChanged, or BrokerUnavailable without an answer.
            committed: told the offsets after each commit, for lag monitors.
            clock: wall clock, seconds.
        """
        self._settings = settings
        self._storage = storage
        self._stream = name
        self._owned = tuple(owned)
        self._metrics = metrics
        self._same_topic = same_topic
        self._committed = committed
        self._clock = clock
        self._buffer = Buffer()
        self._caught_up: dict[int, int] = {}
        self._settled: set[tuple[int, int]] = set()
        self._was_level = False
        self._opened_s = self._looked_s = self._committed_s = 0.0

    def take_over(self, *, new_log: bool = False) -> dict[int, int]:
        """Fence off other writers; only then read where this one goes on.

        Storage that fails in the middle of it is met by beginning anew.

        Returns:
            partition -> last offset read past, -1 if it was never read.

        Raises:
            TakenOver: a rival was later. LakeError: the lake holds another log, or may
                not be written. StorageUnavailable: not within `storage_retry_s`.
        """

        def once() -> dict[int, int]:
            Takeover(*self.open(new_log=new_log)).run()
            return self.resume()

        return retry(
            once, on=StorageUnavailable, seconds=self._settings.storage_retry_s
        )

    def open(self, *, new_log: bool = False) -> tuple[FencedTable, list[FencedTable]]:
        """Make the tables if absent and open them: the main one and those beside it."""
        create(self._storage, MAIN, EVENTS, ["date"])
        create(self._storage, SIDE, DEAD_LETTERS, ["date"])
        self._queries = WriterQueries(self._storage)
        register(
            self._storage, self._stream, (SIDE, MAIN), self._owned, self._now(),
            new_log=new_log,
        )  # fmt: skip
        self._main, self._side = self._table(MAIN), self._table(SIDE)
        return self._main, [self._side]

    def resume(self) -> dict[int, int]:
        """After the take-over: offsets and settled records, as the fences saw them."""
        offsets = dict(self._main.offsets)
        if offsets:
            lowest = min(offsets.values())
            found = self._queries.settled(self._side, self._stream.topic_id, lowest)
            self._settled = {(p, o) for p, o in found if o > offsets.get(p, o)}
        self._opened_s = self._looked_s = self._committed_s = self._clock()
        return offsets

    def recent_ids(self) -> dict[int, tuple[list[str], list[int]]]:
        """Event ids and Kafka ms by partition, that the dedupe windows start with."""
        settings = self._settings
        age_ms = int(settings.dedupe_hours * 3_600_000)
        return retry(
            lambda: self._queries.newest_ids(
                self._main, self._stream.topic_id, settings.dedupe_ids, age_ms
            ),
            on=StorageUnavailable,
            seconds=settings.storage_retry_s,
        )

    @property
    def settled(self) -> Set[tuple[int, int]]:
        """(partition, offset) of records beyond the main offset with a dead letter."""
        return self._settled

    def add(self, decoded: Decoded) -> None:
        """Keep a poll until the next commit, and commit when it is time."""
        self._buffer.add(decoded, self._clock())
        self._caught_up |= decoded.progress.caught_up_ms
        if decoded.progress.last:
            self._commit_now()
        else:
            self._commit_if_due()

    def _commit_if_due(self) -> None:
        now, settings = self._clock(), self._settings
        buffer = self._buffer
        full = (
            buffer.rows >= settings.commit_rows or buffer.bytes >= settings.commit_bytes
        )
        waited = is_over(now, buffer.since_s, settings.commit_interval_s)
        idle = is_over(now, self._committed_s, settings.idle_commit_s)
        if full:
            self._commit_now()
        # Without an answer the rows stay, and the next tick asks again.
        elif (
            idle or (buffer.moved and (waited or self._is_level()))
        ) and self._broker_answers():
            self._commit()
        self._look_if_due()

    def _is_level(self) -> bool:
        """Whether all that waited at the start was read by now, told once.

        It waited long enough for whoever killed the writer before this one.
        """
        if self._was_level or not self._caught_up.keys() >= set(self._owned):
            return False
        self._was_level = True
        return True

    def _commit_now(self) -> None:
        """Commit before anything else is read: the buffer is full or input ended."""
        while not self._broker_answers():
            time.sleep(ASK_AGAIN_S)
            self._look_if_due()
        self._commit()

    def _broker_answers(self) -> bool:
        try:
            self._same_topic()
        except BrokerUnavailable:
            return False
        return True

    def _look_if_due(self) -> None:
        """Who writes nothing finds out that it was taken over, or the topic changed.

        That is so when idle, and while rows wait for a broker that does not answer.
        """
        if is_over(self._clock(), self._looked_s, self._settings.fence_check_s):
            self._looked_s = self._clock()
            self._asked(FencedTable.look)
            self._broker_answers()

    def _commit(self) -> None:
        buffer, self._buffer = self._buffer, Buffer()
        started = self._clock()
        now, redelivered = self._now(), buffer.redelivered_ids
        dead = self._new_rows(buffer.dead_letters(), self._side, "id", redelivered)
        if dead.num_rows:
            letters = stamp(dead, DEAD_LETTERS, now)
            self._timed(SIDE, lambda: self._commit_letters(letters, buffer.positions))
        events = self._new_rows(buffer.events(), self._main, "event_id", redelivered)
        rows = stamp(events, EVENTS, now)
        numbers = {(p, CAUGHT_UP): ms for p, ms in self._caught_up.items()}
        refused = self._timed(
            MAIN, lambda: self._commit_events(rows, buffer.positions, numbers)
        )
        main = self._main.offsets
        self._settled = {(p, o) for p, o in self._settled if o > main.get(p, o)}
        self._committed_s = self._looked_s = self._clock()
        if self._main.commits_since_open >= self._settings.reopen_commits or is_over(
            started, self._opened_s, self._settings.reopen_s
        ):
            self._reopen()
        self._report(buffer, events, dead, refused)
        self._committed(main)

    def _reopen(self) -> None:
        """Make sure through fresh handles that the tables are still this writer's."""
        if self._asked(FencedTable.reopen):
            self._opened_s = self._clock()

    def _asked(self, question: Callable[[FencedTable], None]) -> bool:
        """Ask both tables; who does not answer may do so by the next commit."""
        try:
            question(self._main)
            question(self._side)
        except StorageUnavailable as error:
            log.warning("storage does not answer", reason=error.what)
            return False
        return True

    def _commit_letters(self, rows: pa.Table, offsets: Mapping[int, int]) -> None:
        """Commit dead letters; of one that is refused only its origin is kept."""
        try:
            self._side.commit(rows, offsets)
        except RowsRefused:
            if rows.num_rows > 1:
                first, rest, cut = halves(rows)
                self._commit_letters(first, cut)
                self._commit_letters(rest, offsets)
                return
            self._side.commit(bare(rows), offsets)

    def _commit_events(
        self,
        rows: pa.Table,
        offsets: Mapping[int, int],
        numbers: Mapping[tuple[int, str], int],
    ) -> int:
        """Commit rows; returns how many became dead letters since they were refused."""
        try:
            self._main.commit(rows, offsets, numbers)
            return 0
        except RowsRefused:
            if rows.num_rows > 1:
                first, rest, cut = halves(rows)
                return self._commit_events(first, cut, {}) + self._commit_events(
                    rest, offsets, numbers
                )
            letter = unstorable(rows, self._now())
            at = letter.to_pylist()[0]
            position = {at["kafka_partition"]: at["kafka_offset"]}
            self._side.commit(letter, position)
            self._main.commit(None, offsets, numbers)
            return 1

    def _new_rows(
        self,
        rows: pa.Table,
        held: FencedTable,
        id_column: str,
        redelivered: frozenset[str],
    ) -> pa.Table:
        """Rows without the settled ones and without those sent again on purpose."""
        if self._settled and rows.num_rows:
            keep = [origin not in self._settled for origin in _origins(rows)]
            rows = rows.filter(pa.array(keep, pa.bool_()))
        marked = redelivered.intersection(rows[id_column].to_pylist())
        if marked:
            known = retry(
                lambda: self._queries.known(held, id_column, marked),
                on=StorageUnavailable,
                seconds=self._settings.storage_retry_s,
            )
            rows = _marked_once(rows, id_column, marked, known)
        return rows

    def _timed(self, table: str, commit: Callable[[], R]) -> R:
        started = time.monotonic()
        result = commit()
        seconds = time.monotonic() - started
        self._metrics.add("semloop_commits_total", flow=FLOW, table=table)
        self._metrics.observe("semloop_commit_seconds", seconds, flow=FLOW, table=table)
        return result

    def _report(
        self, buffer: Buffer, events: pa.Table, dead: pa.Table, refused: int
    ) -> None:
        """Count what was committed: once per commit, never per record."""
        metrics = self._metrics
        # Events that were sent again on purpose, or are settled, were not stored anew.
        again = buffer.events().num_rows - events.num_rows
        metrics.add("semloop_events_total", events.num_rows - refused, flow=FLOW)
        duplicates = buffer.counts["duplicates"] + again
        metrics.add("semloop_duplicates_total", duplicates, flow=FLOW)
        metrics.add("semloop_misrouted_total", buffer.counts["misrouted"], flow=FLOW)
        metrics.add("semloop_skipped_total", buffer.counts["skipped"], flow=FLOW)
        reasons = Counter(dead["reason"].to_pylist())
        if refused:
            reasons[Reason.UNSTORABLE] += refused
        for reason, count in reasons.items():
            metrics.add("semloop_dead_letters_total", count, flow=FLOW, reason=reason)
        for partition, offset in self._main.offsets.items():
            metrics.set("semloop_last_offset", offset, flow=FLOW, partition=partition)
            if partition in buffer.end_offsets:
                lag = max(0, buffer.end_offsets[partition] - 1 - offset)
                metrics.set("semloop_lag_records", lag, flow=FLOW, partition=partition)
        oldest = pc.min(events["kafka_ts"]).cast(pa.int64()).as_py()
        if oldest is not None:
            seconds = max(0.0, self._clock() - oldest / 1e6)
            metrics.set("semloop_freshness_seconds", seconds, flow=FLOW)
        log.info(
            "committed",
            events=events.num_rows - refused,
            dead_letters=dead.num_rows + refused,
            duplicates=duplicates,
            offsets=self._main.offsets,
        )

    def _table(self, name: str) -> FencedTable:
        def retried(table: str, cause: str) -> None:
            self._metrics.add(
                "semloop_commit_retries_total", flow=FLOW, table=table, cause=cause
            )

        retry_s = self._settings.storage_retry_s
        return FencedTable(
            self._storage, name, self._stream, self._owned, retry_s, retried
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _origins(rows: pa.Table) -> list[tuple[int, int]]:
    partitions = rows["kafka_partition"].to_pylist()
    return list(zip(partitions, rows["kafka_offset"].to_pylist(), strict=True))


def _marked_once(
    rows: pa.Table, id_column: str, marked: Set[str], known: Set[str]
) -> pa.Table:
    """The rows without marked ones that are known, and each marked one once."""
    gone = set(known)
    keep = []
    for row_id in rows[id_column].to_pylist():
        keep.append(row_id not in gone)
        if row_id in marked:
            gone.add(row_id)
    return rows.filter(pa.array(keep, pa.bool_()))
