"""The scheduled flow `rebuild`: events -> episodes and memories, a new generation.

It is a flow `memory` of its own, from the first event that is left, without a position
in the tables. It fills the next table of memories and, on the local disk, the episodes,
while the flow `memory` runs. Once it has read as much as `memory`, one log entry of
`episodes` replaces all of its files and switches the memories, and `memory` starts
again there. After an interruption, texts that have a vector are not embedded again.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.bytewax_io import ReaderSource, WriterSink
from flows.embed_step import embed_step
from flows.guard import EXIT_ON_ERROR, Guard, prepare_flow
from flows.rebuild_input import rebuild_input
from flows.rebuild_worker import RebuildWorker
from flows.scheduled import log_steps, run_to_end
from operators.episodes.assign import assign_episodes
from operators.episodes.carried import without_memories
from operators.memories.chunk import chunk
from operators.memories.expiry import without_expired
from schemas.batches import Assigned, Chunked, PolledEvents
from schemas.metrics import Metrics
from schemas.rebuild import Plan, RebuildReport
from schemas.steps import ProgressCallback
from semloop.flow_registry import REBUILD
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.flow_tables import FlowContext


def flow() -> Dataflow:
    """Return the flow that the environment configures, for Bytewax's own runner."""
    return prepare_flow(build)


def build(settings: Settings, metrics: Metrics) -> Dataflow:
    """Build the flow for a process of its own; it opens nothing before it runs.

    Args:
        settings: the lake, the episode limits, the memory policy and the embedder.
        metrics: receives the counts.
    """
    context = FlowContext(settings, Storage.of(settings), metrics)
    worker = RebuildWorker(context, log_steps(REBUILD.name), accept_loss=False)
    return _dataflow(context, worker, EXIT_ON_ERROR)


def rebuild(
    settings: Settings,
    show: ProgressCallback = lambda step, done, total: None,
    *,
    accept_loss: bool = False,
) -> RebuildReport:
    """Make the episodes and memories of every topic again, and switch to them.

    Args:
        settings: the lake, the episode limits, the memory policy and the embedder.
        show: called with (step, done, total) as work progresses.
        accept_loss: as of `RebuildWorker`.

    Raises:
        LakeError: the lake has no events, or something is lost that `accept_loss` does
            not accept.
        Terminal: `memory` reads faster than this flow can follow, another run switched
            the memories, or retention removed events meanwhile.
        TopicChanged: partitions were added after the start.
        EmbedderUnavailable: the model did not answer within `embedder_retry_s`.
        StorageUnavailable: storage did not answer within `storage_retry_s`.
    """
    context = FlowContext(settings, Storage.of(settings), Metrics())
    worker = RebuildWorker(context, show, accept_loss=accept_loss)
    run_to_end(lambda guard: _dataflow(context, worker, guard))
    return worker.writer.rebuilt


def plan(settings: Settings) -> Plan:
    """Return what a rebuild would read and keep; nothing is changed.

    Raises:
        LakeError: the lake has no events, or cannot be read.
        StorageUnavailable: storage did not answer within `storage_retry_s`.
    """
    context = FlowContext(settings, Storage.of(settings), Metrics())
    with rebuild_input(context) as found:
        return found.plan


def _dataflow(context: FlowContext, worker: RebuildWorker, guard: Guard) -> Dataflow:
    settings = context.settings

    def skip_poll(polled: PolledEvents) -> PolledEvents:
        return worker.input.carried.without_theirs(polled)

    def assign_poll(polled: PolledEvents) -> Assigned:
        assigned = assign_episodes(polled, worker.sessions, worker.input.replaced)
        return without_memories(assigned, worker.reached)

    def chunk_poll(assigned: Assigned) -> Chunked:
        chunked = chunk(assigned, settings.memory)
        return without_expired(chunked, settings.maintenance, worker.today)

    embed_poll = embed_step(
        settings,
        context.metrics,
        REBUILD.name,
        lambda: worker.embedder,
        lambda: worker.cache,
    )
    dataflow = Dataflow(REBUILD.name)
    source = ReaderSource(worker.open_reader, guard=guard.poll)
    polls = op.input("rounds", dataflow, source)
    # PolledEvents(events=1,000 rows of `events`, progress={("<topic id>", 0): 1041})
    computed = op.map("skip", polls, guard.step(skip_poll))
    # PolledEvents(events=990 rows that are in no episode that is carried over)
    assigned = op.map("assign", computed, guard.step(assign_poll))
    # Assigned(memorable=870 of them, places=870 rows, episodes=60 new revisions)
    chunked = op.map("chunk", assigned, guard.step(chunk_poll))
    # Chunked(memories=890 texts of bounded length)
    vectored = op.map("embed", chunked, guard.step(embed_poll))
    # Vectored(memories=890 texts with their vectors)
    sink = WriterSink(lambda worker_index: worker.writer, guard.step)
    op.output("generation", vectored, sink)
    return dataflow
