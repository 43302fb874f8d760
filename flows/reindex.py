"""The scheduled flow `reindex`: events, episodes -> a new generation of memories.

It changes the embedding model or restores deleted memories. It fills a new table while
the flow `memory` runs. Each round reads up to the offsets that `memory` had
committed when the round began. A round during which `memory` commits nothing ends with
the commit that fences `memory` and switches to the new table. After an interruption the
next run resumes at the last stored position.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.bytewax_io import ReaderSource, WriterSink
from flows.embed_step import embed_step
from flows.guard import EXIT_ON_ERROR, Guard, prepare_flow
from flows.reindex_worker import ReindexWorker
from flows.scheduled import log_steps, run_to_end
from operators.episodes.rebuild_positions import rebuild_positions
from operators.memories.chunk import chunk
from operators.memories.expiry import without_expired
from schemas.batches import Assigned, Chunked, ReindexPart
from schemas.metrics import Metrics
from schemas.steps import ProgressCallback
from semloop.flow_registry import REINDEX
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.flow_tables import FlowContext
from sinks.vectors.new_generation import Report


def flow() -> Dataflow:
    """Return the flow that the environment configures, for Bytewax's own runner."""
    return prepare_flow(build)


def build(settings: Settings, metrics: Metrics) -> Dataflow:
    """Build the flow for a process of its own; it opens nothing before it runs.

    Args:
        settings: the lake, the memory policy, and the embedder of the new memories.
        metrics: receives the counts.
    """
    context = FlowContext(settings, Storage.of(settings), metrics)
    worker = ReindexWorker(context, log_steps(REINDEX.name))
    return _dataflow(context, worker, EXIT_ON_ERROR)


def reindex(
    settings: Settings, show: ProgressCallback = lambda step, done, total: None
) -> Report:
    """Rebuild the memories of every topic and switch to them.

    Args:
        settings: the lake, the memory policy, and the embedder of the new memories.
        show: called with (step, done, total) as work progresses.

    Raises:
        LakeError: the lake has no episodes, or the memories were deleted meanwhile.
        Terminal: `memory` commits faster than this flow can follow, or another
            `reindex` took over.
        TopicChanged: partitions were added after the start.
        EmbedderUnavailable: the model did not answer within `embedder_retry_s`.
        StorageUnavailable: storage did not answer within `storage_retry_s`.
    """
    context = FlowContext(settings, Storage.of(settings), Metrics())
    worker = ReindexWorker(context, show)
    run_to_end(lambda guard: _dataflow(context, worker, guard))
    return worker.writer.report


def _dataflow(context: FlowContext, worker: ReindexWorker, guard: Guard) -> Dataflow:
    settings = context.settings

    def replay_part(part: ReindexPart) -> Assigned:
        return rebuild_positions(part, worker.known, worker.position_counters)

    def chunk_part(assigned: Assigned) -> Chunked:
        chunked = chunk(assigned, settings.memory)
        return without_expired(chunked, settings.maintenance, worker.today)

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
    # Vectored(memories=890 texts with their vectors)
    sink = WriterSink(lambda worker_index: worker.writer, guard.step)
    op.output("generation", vectored, sink)
    return dataflow
