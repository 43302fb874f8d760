"""The flow `memory`: events -> episodes, texts, vectors -> memories, episodes.

It reads `events` as `archive` commits them; what flows is in `schemas/batches.py`.
Steps are partition-local: what a worker reads it also writes.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.bytewax_io import ReaderSource, WriterSink
from flows.embed_step import embed_step
from flows.guard import ends_process, started
from flows.memory_workers import MemoryWorkers
from operators.episodes.assign import assign_episodes
from operators.memories.chunk import chunk
from schemas.batches import Assigned, Chunked, PolledEvents
from schemas.metrics import Metrics
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.flow_tables import FlowContext
from sinks.memory_tables import FLOW


def flow() -> Dataflow:
    """The flow as the environment configures it; what Bytewax's own runner calls."""
    return started(build)


def build(
    settings: Settings, metrics: Metrics, *, until_caught_up: bool = False
) -> Dataflow:
    """The flow; nothing is opened before it runs.

    Args:
        settings: the lake, how episodes end, what is remembered and by which model.
        metrics: where counts go.
        until_caught_up: stop once all that was there at the start is committed.
    """
    context = FlowContext(settings, Storage.of(settings), metrics)
    workers = MemoryWorkers(context, until_caught_up=until_caught_up)

    @ends_process
    def window_poll(polled: PolledEvents) -> Assigned:
        return assign_episodes(polled, workers.sessions, workers.replaced)

    @ends_process
    def chunk_poll(assigned: Assigned) -> Chunked:
        return chunk(assigned, settings.memory)

    embed_poll = embed_step(
        settings, metrics, FLOW, lambda: workers.embedder, lambda: workers.cache
    )
    dataflow = Dataflow(FLOW)
    source = ReaderSource(workers.open_reader, until_caught_up=until_caught_up)
    polls = op.input("events", dataflow, source)
    # PolledEvents(events=1,000 rows of `events`, progress={("<topic id>", 0): 1041})
    assigned = op.map("window", polls, window_poll)
    # Assigned(memorable=870 of them, episodes=60 new revisions)
    chunked = op.map("chunk", assigned, chunk_poll)
    # Chunked(memories=890 texts of bounded length, skipped={"importance": 12})
    vectored = op.map("embed", chunked, ends_process(embed_poll))
    # Vectored, the same with a vector each
    op.output("tables", vectored, WriterSink(workers.writer_of))
    return dataflow
