"""The tables of the flow `memory`: LanceDB's `memories`, then `episodes`, exactly once.

`episodes` is the main table: only its offsets determine where reading resumes. Memories
are merged first, by ids that derive from their origin: events that are re-read produce
the same ids, and readers ignore memories beyond the offsets of the main table.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import structlog
from typing_extensions import override

from schemas.arrow import EPISODES
from schemas.arrow import memories as memories_schema
from schemas.batches import Vectored
from semloop.delta.streams import Partition, Streams
from semloop.errors import (
    LakeError,
    MemoriesSwitched,
    SemLoopError,
    StorageUnavailable,
)
from semloop.flow_registry import MEMORY
from semloop.lake.generations import generation_of
from semloop.retry import retry
from semloop.storage.errors import storage_errors
from sinks.delta.commit_columns import with_commit_columns
from sinks.delta.create_table import create
from sinks.delta.fenced_table import FencedTable
from sinks.delta.stored_generation import stored_generation
from sinks.delta.takeover import Takeover
from sinks.flow_tables import FlowContext, Waiting
from sinks.lake_figures import TableSize
from sinks.lake_reader_tables import LakeReaderTables
from sinks.memory_buffer import MemoryBuffer
from sinks.publishing.episodes import EpisodePublisher
from sinks.session_rows import restored_rows
from sinks.vectors.table import VectorTable

FLOW = MEMORY.name
MAIN = MEMORY.main
(SIDE,) = MEMORY.sides

log = structlog.get_logger(FLOW)


class MemoryTables(LakeReaderTables[Vectored]):
    """The writer of `memories` and `episodes` for the partitions of one worker.

    Unit of parallelism: a worker. Guarantee: every episode and every memory is visible
    exactly once, across crashes, second copies and lost replies.

    An idle flow does not commit: `caught_up_ms` is only stored together with offsets.
    """

    flow, main = FLOW, MAIN
    _publisher: EpisodePublisher | None = None

    def __init__(
        self,
        context: FlowContext,
        streams: Streams,
        owned: Sequence[Partition],
        model: tuple[str, int],
    ) -> None:
        """Open no table yet; `take_over` does.

        Args:
            context: settings, lake, metrics and clock.
            streams: the streams that the flow reads, newest first; they name its
                offsets in `episodes`.
            owned: partitions of this worker.
            model: id of the embedder's model, and the length of its vectors.
        """
        super().__init__(context, streams, owned)
        self._model, self._dimension = model
        self._buffer = MemoryBuffer()

    def recent_sessions(self) -> pa.Table:
        """Return the rows of `episodes` from which to restore the sessions."""
        sessions_max = self.settings.episodes.open_episodes_total
        return retry(
            lambda: restored_rows(self._queries, self._main, sessions_max),
            on=StorageUnavailable,
            seconds=self.settings.commits.storage_retry_s,
        )

    @property
    @override
    def waiting(self) -> Waiting:
        buffer = self._buffer
        return Waiting(buffer.rows, buffer.bytes, buffer.has_changes)

    @override
    def add_to_buffer(self, item: Vectored) -> bool:
        self._buffer.add(item, self._main.offsets)
        self._note_level(item.progress, self._buffer)
        return item.progress.last

    @override
    def explain(self, error: SemLoopError) -> SemLoopError:
        """Return MemoriesSwitched if `reindex` or `rebuild` caused the error."""
        # The old memory table may already be dropped.
        with storage_errors(self._storage, f"read table {MAIN}"):
            found = generation_of(self._storage.open(MAIN))
        if found == self._generation:
            return error
        msg = "`semloop maintain` has made a new generation of the memories."
        todo = "Start the flow again: it continues with the new ones."
        return MemoriesSwitched(msg, todo)

    @override
    def sizes(self) -> Iterator[TableSize]:
        yield from super().sizes()
        yield self._vectors.size()

    @override
    def commit(self) -> None:
        buffer, self._buffer = self._buffer, MemoryBuffer()
        memories = buffer.memories()
        if memories is not None:
            rows = self._with_writer(memories)
            self._timed(SIDE, lambda: self._vectors.merge(rows))
        episodes = with_commit_columns(buffer.episodes(), EPISODES, self._context.now())
        numbers = self._numbers(buffer)
        self._timed(
            MAIN, lambda: self._main.commit(episodes, buffer.positions, numbers)
        )
        if self._publisher is not None:
            self._publisher.committed(episodes, memories)
        self._report(buffer, memories, episodes)

    @override
    def _new_publisher(self) -> EpisodePublisher:
        return EpisodePublisher(self._context, FLOW, self._main, self._vectors)

    @override
    def _take_over_once(self) -> FencedTable:
        """Also raises LakeError if the memories are missing or of another model."""
        create(self._storage, MAIN)
        self._queries = self._context.open_queries(self._storage)
        main = self._registered()
        self._generation = stored_generation(main)
        self._vectors = self._open_vectors(main)
        least_epoch = 1 + self._vectors.largest_writer()
        self._epochs = Takeover(main, least_epoch=least_epoch).run()
        if stored_generation(main) != self._generation:
            msg = (
                "`semloop maintain reindex` switched the memories during the take-over."
            )
            raise StorageUnavailable(msg, "Start the flow again.")
        return main

    def _open_vectors(self, main: FencedTable) -> VectorTable:
        vectors = VectorTable(
            self._storage, self._generation, self._dimension, self._model,
            self.settings.commits.storage_retry_s, self._count_retry,
        )  # fmt: skip
        # Checks the rows of all workers: this one may have written none yet.
        has_episodes = main.handle.get_add_actions().num_rows > 0
        if has_episodes and not vectors.exists():
            msg = f"The memories of {self._storage.root} are missing."
            raise LakeError(msg, "Rebuild them: `semloop maintain reindex`.")
        vectors.open()
        return vectors

    def _with_writer(self, memories: pa.Table) -> pa.Table:
        """Add this writer's epochs, so that older writers cannot overwrite the rows."""
        topics = memories["topic_id"].to_pylist()
        partitions = memories["kafka_partition"].to_pylist()
        origins = map(Partition, topics, partitions)
        writers = pa.array([self._epochs[origin] for origin in origins], pa.int64())
        schema = memories_schema(self._dimension, self._model)
        columns = {name: memories[name] for name in memories.column_names}
        columns["writer"] = pa.chunked_array([writers])
        return pa.table([columns[name] for name in schema.names], schema=schema)

    def _report(
        self, buffer: MemoryBuffer, memories: pa.Table | None, episodes: pa.Table
    ) -> None:
        """Update the metrics and log the commit; nothing is emitted per record."""
        metrics = self._metrics
        remembered = 0 if memories is None else memories.num_rows
        metrics.add("semloop_memories_total", remembered, flow=FLOW)
        closed = pc.sum(pc.equal(episodes["state"], "closed")).as_py() or 0
        metrics.add("semloop_episodes_total", closed, flow=FLOW)
        for reason, count in buffer.skipped.items():
            metrics.add("semloop_not_remembered_total", count, flow=FLOW, reason=reason)
        self._report_positions(buffer.ends)
        if memories is not None:
            # Events only: an episode may be inactive for a long time before it closes.
            of_events = memories.filter(pc.equal(memories["kind"], "event"))
            self._report_delays(of_events["kafka_ts"])
        log.info(
            "committed",
            memories=remembered,
            episodes=episodes.num_rows,
            closed=closed,
            skipped=dict(buffer.skipped),
            offsets={f"{p.number}": o for p, o in self._main.offsets.items()},
        )
