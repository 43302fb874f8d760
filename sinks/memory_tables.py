"""The tables of the flow `memory`: LanceDB's `memories`, then `episodes`, exactly once.

`episodes` is the main table: its offsets alone say where reading goes on. Memories are
merged by ids that derive from their origin, before it; so a replay writes the same ones
again, and readers look at none whose origin the main table has not reached.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from schemas.arrow import EPISODE_REVISIONS, EPISODES
from schemas.arrow import memories as memories_schema
from schemas.batches import Vectored
from schemas.metrics import Metrics
from semloop.delta.query import WriterQueries
from semloop.delta.streams import CAUGHT_UP, Origin, StreamId
from semloop.errors import (
    LakeError,
    MemoriesSwitched,
    StorageUnavailable,
    TakenOver,
)
from semloop.flow_registry import MEMORY
from semloop.lake.generations import EPISODES as MAIN
from semloop.lake.generations import FLOW, generation_of
from semloop.retry import retry
from semloop.settings import Settings
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from sinks.delta.create_table import create
from sinks.delta.fenced_table import NEVER_READ, FencedTable
from sinks.delta.stamp import stamp
from sinks.delta.streams_table import register
from sinks.delta.takeover import Takeover
from sinks.interval import is_over
from sinks.memory_buffer import MemoryBuffer
from sinks.vectors.table import VectorTable

(SIDE,) = MEMORY.sides
# The states and numbers alone first: closed episodes are many.
OPEN_EPISODES = """
, newest AS (
    SELECT episode_id, max(revision) AS revision FROM rows
    GROUP BY episode_id HAVING arg_max(state, revision) = 'open'
)
SELECT * FROM rows JOIN newest USING (episode_id, revision)
"""

log = structlog.get_logger(FLOW)


@dataclass(frozen=True)
class OriginNames:
    """Names of the offsets of origins: by topic id, the log that they are filed as."""

    streams: Mapping[str, StreamId]

    def app_id(self, table: str, origin: Origin, /) -> str:
        """Name of the Delta `Transaction` that keeps an origin's last offset."""
        topic_id, partition = origin
        return self.streams[topic_id].app_id(table, partition)


class MemoryTables:
    """The writer of `memories` and `episodes` for the origins of one worker.

    Unit of parallelism: a worker. Guarantee: every episode and every memory is visible
    exactly once, across crashes, second copies and lost replies.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        streams: Mapping[str, StreamId],
        owned: Sequence[Origin],
        model: tuple[str, int],
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is opened yet; `take_over` does.

        Args:
            settings: bounds and intervals.
            storage: the lake.
            streams: topic id, the newest first -> what is read, as its offsets in
                `episodes` are filed.
            owned: origins of this worker.
            model: id of the embedder's model, and the length of its vectors.
            metrics: where counts go.
            clock: wall clock, seconds.
        """
        self._settings = settings
        self._storage = storage
        self._streams = streams
        self._owned = tuple(owned)
        self._model, self._dimension = model
        self._metrics = metrics
        self._clock = clock
        self._buffer = MemoryBuffer()
        self._opened_s = self._looked_s = 0.0

    def take_over(self) -> dict[Origin, int]:
        """Fence off other writers; only then read where this one goes on.

        Returns:
            origin -> last offset read past, -1 if it was never read.

        Raises:
            TakenOver: a rival was later. LakeError: the memories are gone or of another
                model, or the lake may not be written. StorageUnavailable: not within
                `storage_retry_s`.
        """
        return retry(
            self._take_over_once,
            on=StorageUnavailable,
            seconds=self._settings.storage_retry_s,
        )

    def open_episodes(self) -> pa.Table:
        """The newest revisions of the owned episodes that are open."""
        return retry(
            self._open_episodes,
            on=StorageUnavailable,
            seconds=self._settings.storage_retry_s,
        )

    def add(self, vectored: Vectored) -> None:
        """Keep a poll until the next commit, and commit when it is time."""
        buffer, done = self._buffer, self._main.offsets
        news = {
            origin: offset
            for origin, offset in vectored.windowed.positions.items()
            if offset > max(done[origin], buffer.positions.get(origin, NEVER_READ))
        }
        now, settings = self._clock(), self._settings
        buffer.add(vectored, news, now)
        full = (
            buffer.rows >= settings.commit_rows or buffer.bytes >= settings.commit_bytes
        )
        waited = is_over(now, buffer.since_s, settings.commit_interval_s)
        if buffer.moved and (full or waited or vectored.windowed.last):
            with self._switch_told():
                self._commit()
        elif is_over(now, self._looked_s, settings.fence_check_s):
            self._looked_s = now
            with self._switch_told():
                self._asked(FencedTable.look)

    def _take_over_once(self) -> dict[Origin, int]:
        create(self._storage, MAIN, EPISODES, ["date"])
        self._queries = WriterQueries(self._storage)
        for topic_id, name in self._streams.items():
            partitions = [p for topic, p in self._owned if topic == topic_id]
            # Whether another cluster's topic belongs here was archive's question.
            register(
                self._storage, name, (MAIN,), partitions, self._now(),
                new_log=True,
            )  # fmt: skip
        main = FencedTable(
            self._storage, MAIN, OriginNames(self._streams), self._owned,
            self._settings.storage_retry_s, self._retried,
        )  # fmt: skip
        self._generation = generation_of(main.handle)
        self._vectors = self._open_vectors(main)
        least_epoch = 1 + self._vectors.largest_writer()
        self._epochs = Takeover(main, least_epoch=least_epoch).run()
        if generation_of(main.handle) != self._generation:
            msg = "`reindex` switched the memories while this flow took over."
            raise StorageUnavailable(msg, "Start the flow again.")
        self._main = main
        self._opened_s = self._looked_s = self._clock()
        return dict(main.offsets)

    def _open_vectors(self, main: FencedTable[Origin]) -> VectorTable:
        vectors = VectorTable(
            self._storage, self._generation, self._dimension, self._model,
            self._settings.storage_retry_s, self._retried,
        )  # fmt: skip
        # Whoever wrote them: a worker that has read nothing yet may be the first here.
        begun = main.handle.get_add_actions().num_rows > 0
        if begun and not vectors.exists():
            msg = f"The memories of {self._storage.root} are gone."
            raise LakeError(msg, "Make them anew: `semloop maintain reindex`.")
        vectors.open()
        return vectors

    def _open_episodes(self) -> pa.Table:
        found = self._queries.rows_of(self._main, OPEN_EPISODES)
        if not found.num_rows:
            return EPISODE_REVISIONS.empty_table()
        return found.select(EPISODE_REVISIONS.names).cast(EPISODE_REVISIONS)

    def _commit(self) -> None:
        buffer, self._buffer = self._buffer, MemoryBuffer()
        started = self._clock()
        memories = buffer.memories()
        if memories is not None:
            rows = self._signed(memories)
            self._timed(SIDE, lambda: self._vectors.merge(rows))
        episodes = stamp(buffer.episodes(), EPISODES, self._now())
        positions = {**self._main.offsets, **buffer.positions}
        numbers = {
            (origin, CAUGHT_UP): standing.caught_up_ms
            for origin, standing in buffer.standings.items()
            if standing.caught_up_ms is not None
            and positions[origin] >= standing.last_offset
        }
        self._timed(
            MAIN, lambda: self._main.commit(episodes, buffer.positions, numbers)
        )
        self._looked_s = self._clock()
        if (
            self._main.commits_since_open >= self._settings.reopen_commits
            or is_over(started, self._opened_s, self._settings.reopen_s)
        ) and self._asked(FencedTable.reopen):
            self._opened_s = self._clock()
        self._report(buffer, memories, episodes)

    def _signed(self, memories: pa.Table) -> pa.Table:
        """The memories with the epoch of who writes them: older ones change nothing."""
        topics = memories["topic_id"].to_pylist()
        partitions = memories["kafka_partition"].to_pylist()
        origins = zip(topics, partitions, strict=True)
        writers = pa.array([self._epochs[origin] for origin in origins], pa.int64())
        schema = memories_schema(self._dimension, self._model)
        columns = {name: memories[name] for name in memories.column_names}
        columns["writer"] = pa.chunked_array([writers])
        return pa.table([columns[name] for name in schema.names], schema=schema)

    def _asked(self, question: Callable[[FencedTable[Origin]], None]) -> bool:
        """Ask the main table; if it does not answer, the next commit asks again."""
        try:
            question(self._main)
        except StorageUnavailable as error:
            log.warning("storage does not answer", reason=error.what)
            return False
        return True

    @contextmanager
    def _switch_told(self) -> Iterator[None]:
        """Who was taken over by `reindex` is to start again, on the new memories."""
        try:
            yield
        # Of the old memories even the table may be gone by now.
        except (TakenOver, LakeError):
            with storage_errors(self._storage, f"read table {MAIN}"):
                found = generation_of(self._storage.open(MAIN))
            if found != self._generation:
                msg = "The memories were made anew by `semloop maintain reindex`."
                todo = "Start the flow again: it goes on with the new ones."
                raise MemoriesSwitched(msg, todo) from None
            raise

    def _timed(self, table: str, commit: Callable[[], None]) -> None:
        started = time.monotonic()
        commit()
        seconds = time.monotonic() - started
        self._metrics.add("semloop_commits_total", flow=FLOW, table=table)
        self._metrics.observe("semloop_commit_seconds", seconds, flow=FLOW, table=table)

    def _retried(self, table: str, cause: str) -> None:
        self._metrics.add(
            "semloop_commit_retries_total", flow=FLOW, table=table, cause=cause
        )

    def _report(
        self, buffer: MemoryBuffer, memories: pa.Table | None, episodes: pa.Table
    ) -> None:
        """Count what was committed: once per commit, never per record."""
        metrics = self._metrics
        remembered = 0 if memories is None else memories.num_rows
        metrics.add("semloop_memories_total", remembered, flow=FLOW)
        closed = pc.sum(pc.equal(episodes["state"], "closed")).as_py() or 0
        metrics.add("semloop_episodes_total", closed, flow=FLOW)
        for reason, count in buffer.skipped.items():
            metrics.add("semloop_not_remembered_total", count, flow=FLOW, reason=reason)
        lags: Counter[int] = Counter()
        for (topic_id, partition), standing in buffer.standings.items():
            offset = self._main.offsets[topic_id, partition]
            lags[partition] += max(0, standing.last_offset - offset)
            if topic_id == next(iter(self._streams)):
                metrics.set(
                    "semloop_last_offset", offset, flow=FLOW, partition=partition
                )
        for partition, lag in lags.items():
            metrics.set("semloop_lag_records", lag, flow=FLOW, partition=partition)
        if memories is not None:
            self._report_freshness(memories)
        log.info(
            "committed",
            memories=remembered,
            episodes=episodes.num_rows,
            closed=closed,
            skipped=dict(buffer.skipped),
            offsets={f"{p}": o for (_, p), o in self._main.offsets.items()},
        )

    def _report_freshness(self, memories: pa.Table) -> None:
        """How long an event waited; an episode may be long silent before it closes."""
        events = memories.filter(pc.equal(memories["kind"], "event"))
        oldest = pc.min(events["kafka_ts"]).cast(pa.int64()).as_py()
        if oldest is not None:
            seconds = max(0.0, self._clock() - oldest / 1e6)
            self._metrics.set("semloop_freshness_seconds", seconds, flow=FLOW)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)
