"""The flow `memory`: events -> episodes, texts, vectors -> memories, episodes.

It reads `events` as `archive` commits them; what flows is in `schemas/batches.py`.
Steps are partition-local: what a worker reads it also writes.
"""

from collections.abc import Callable, Sequence

import bytewax.operators as op
import stamina
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from typing_extensions import override

from flows.guard import ends_process
from flows.memory_workers import MemoryWorkers
from operators.episodes.assign import window
from operators.memories.attach_vectors import with_vectors
from operators.memories.chunk import chunk
from operators.memories.embed import VectorCache
from schemas.batches import Chunked, PolledEvents, Vectored, Windowed
from schemas.metrics import Metrics
from semloop.errors import EmbedderUnavailable
from semloop.lake.generations import FLOW
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from sinks.memory_tables import MemoryTables
from sources.lake.source import LakeSource


def flow() -> Dataflow:
    """The flow as the environment configures it; what Bytewax's own runner calls."""
    return build(load(), Metrics())


def build(
    settings: Settings, metrics: Metrics, *, until_caught_up: bool = False
) -> Dataflow:
    """The flow; nothing is opened before it runs.

    Args:
        settings: the lake, how episodes end, what is remembered and by which model.
        metrics: where counts go.
        until_caught_up: stop once all that was there at the start is committed.
    """
    workers = MemoryWorkers(
        settings, Storage.of(settings), metrics, until_caught_up=until_caught_up
    )
    cache = VectorCache(settings.embed_cache_texts)

    @ends_process
    def window_poll(polled: PolledEvents) -> Windowed:
        return window(polled, workers.sessions, workers.replaced)

    @ends_process
    def chunk_poll(windowed: Windowed) -> Chunked:
        return chunk(windowed, settings)

    @ends_process
    def embed_poll(chunked: Chunked) -> Vectored:
        # Nothing else can be done meanwhile: whoever restarts this flow tries on.
        for attempt in stamina.retry_context(
            on=EmbedderUnavailable, attempts=None, timeout=settings.embedder_retry_s
        ):
            with attempt:
                vectored, embedded = with_vectors(
                    chunked, workers.embedder, cache, settings.embed_batch_tokens
                )
        for name, count in (
            ("semloop_embedded_texts_total", embedded.embedded),
            ("semloop_embed_cache_hits_total", embedded.hits),
            ("semloop_embed_cache_evictions_total", embedded.evictions),
        ):
            metrics.add(name, count, flow=FLOW)
        return vectored

    dataflow = Dataflow(FLOW)
    source = LakeSource(
        settings,
        workers.open_reader,
        until_caught_up=until_caught_up,
        guard=ends_process,
    )
    polls = op.input("events", dataflow, source)
    # PolledEvents(events=1,000 rows of `events`, positions={("<topic id>", 0): 1041})
    windowed = op.map("window", polls, window_poll)
    # Windowed(told=870 of them, places=870 rows, episodes=60 new revisions)
    chunked = op.map("chunk", windowed, chunk_poll)
    # Chunked(memories=890 texts of bounded length, skipped={"importance": 12})
    vectored = op.map("embed", chunked, embed_poll)
    # Vectored, the same with a vector each
    op.output("tables", vectored, MemorySink(workers.tables_of))
    return dataflow


class MemorySink(DynamicSink[Vectored]):
    """Bytewax sink around `MemoryTables`.

    Unit of parallelism: a worker. Guarantee: exactly once, see `MemoryTables`.
    """

    def __init__(self, tables_of: Callable[[int], MemoryTables]) -> None:
        """`tables_of(worker_index)` gives the tables that the worker took over."""
        self._tables_of = tables_of

    @override
    def build(
        self, step_id: str, worker_index: int, worker_count: int
    ) -> "StatelessSinkPartition[Vectored]":
        return _Partition(self._tables_of, worker_index)


class _Partition(StatelessSinkPartition[Vectored]):
    def __init__(
        self, tables_of: Callable[[int], MemoryTables], worker_index: int
    ) -> None:
        self._tables_of = tables_of
        self._worker_index = worker_index

    @override
    @ends_process
    def write_batch(self, items: Sequence[Vectored]) -> None:
        tables = self._tables_of(self._worker_index)
        for vectored in items:
            tables.add(vectored)
