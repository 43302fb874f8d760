"""The scheduled flow `reindex`: events, episodes -> a new generation of memories.

For another model, or when the memories are gone. It fills a table of its own beside the
flow `memory`, in rounds, each up to where `memory` was when the round began; the round
in which nobody else commits ends with the commit that fences `memory` and switches to
the new table. Interrupted, it goes on where it stopped.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.bytewax_io import ReaderSource, WriterSink
from flows.embed_step import embed_step
from flows.guard import started
from flows.reindex_worker import ReindexWorker
from flows.scheduled import EndsProcess, Guard, logged, run_to_end
from operators.episodes.rebuild_positions import rebuild_positions
from operators.memories.chunk import chunk
from schemas.batches import Assigned, Chunked, ReindexPart
from schemas.metrics import Metrics
from schemas.steps import Show
from semloop.flow_registry import REINDEX
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.flow_tables import FlowContext
from sinks.vectors.new_generation import Report


def flow() -> Dataflow:
    """The flow as the environment configures it; what Bytewax's own runner calls."""
    return started(build)


def build(settings: Settings, metrics: Metrics) -> Dataflow:
    """The flow in a process of its own; nothing is opened before it runs.

    Args:
        settings: the lake, what is remembered, and the embedder of the new memories.
        metrics: where counts go.
    """
    context = FlowContext(settings, Storage.of(settings), metrics)
    worker = ReindexWorker(context, logged(REINDEX.name))
    return _dataflow(context, worker, EndsProcess())


def reindex(settings: Settings, show: Show = lambda step, done, total: None) -> Report:
    """Make all memories anew, those of every topic, and switch to them.

    Args:
        settings: the lake, what is remembered, and the embedder of the new memories.
        show: told (step, done, total) of the work, now and then.

    Raises:
        LakeError: there is nothing to make memories of.
        Terminal: `memory` commits faster than this follows, or another `reindex` was
            quicker.
        TopicChanged: there are partitions that were not there at the start.
        EmbedderUnavailable: the model does not answer within `embedder_retry_s`.
        StorageUnavailable: not within `storage_retry_s`.
    """
    context = FlowContext(settings, Storage.of(settings), Metrics())
    worker = ReindexWorker(context, show)
    run_to_end(lambda guard: _dataflow(context, worker, guard))
    return worker.writer.report


def _dataflow(context: FlowContext, worker: ReindexWorker, guard: Guard) -> Dataflow:
    settings = context.settings

    def replay_part(anew: ReindexPart) -> Assigned:
        return rebuild_positions(anew, worker.known, worker.position_counters)

    def chunk_part(assigned: Assigned) -> Chunked:
        return chunk(assigned, settings.memory)

    embed_part = embed_step(
        settings,
        context.metrics,
        REINDEX.name,
        lambda: worker.embedder,
        lambda: worker.cache,
    )
    dataflow = Dataflow(REINDEX.name)
    source = ReaderSource(worker.open_reader, guard=guard.poll)
    parts = op.input("rounds", dataflow, source)
    # ReindexPart(events=1,000 rows of `events`, after={("<topic id>", 0): 41})
    placed = op.map("replay", parts, guard.step(replay_part))
    # Assigned(memorable=870 of them, episode_positions=870 rows)
    chunked = op.map("chunk", placed, guard.step(chunk_part))
    # Chunked(memories=890 texts of bounded length)
    vectored = op.map("embed", chunked, guard.step(embed_part))
    # Vectored, the same with a vector each
    sink = WriterSink(lambda worker_index: worker.writer, guard.step)
    op.output("generation", vectored, sink)
    return dataflow
