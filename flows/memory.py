"""The flow `memory`: events -> episodes, texts, vectors -> memories, episodes.

It reads `events` as `archive` commits them; `schemas/batches.py` defines the items
passed between steps. Steps are partition-local: each worker writes only the partitions
that it reads.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.bytewax_io import ReaderSource, WriterSink
from flows.embed_step import embed_step, report_backlog
from flows.guard import EXIT_ON_ERROR, Guard, prepare_flow
from flows.memory_workers import MemoryWorkers
from operators.episodes.assign import assign_episodes
from operators.memories.chunk import chunk
from operators.memories.expiry import agreed_date, without_expired
from schemas.batches import Assigned, Chunked, PolledEvents
from schemas.metrics import Metrics
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.flow_tables import FlowContext
from sinks.memory_tables import FLOW


def flow() -> Dataflow:
    """Return the flow that the environment configures, for Bytewax's own runner."""
    return prepare_flow(build)


def build(
    settings: Settings,
    metrics: Metrics,
    *,
    guard: Guard = EXIT_ON_ERROR,
    until_caught_up: bool = False,
) -> Dataflow:
    """Build the flow; it opens nothing before it runs.

    Args:
        settings: the lake, the episode limits, the memory policy and the embedder.
        metrics: receives the counts.
        guard: decides what an error of a step does.
        until_caught_up: stop once all events that existed at the start are committed.
    """
    context = FlowContext(settings, Storage.of(settings), metrics)
    workers = MemoryWorkers(context, until_caught_up=until_caught_up)

    @guard.step
    def assign_poll(polled: PolledEvents) -> Assigned:
        report_backlog(metrics, FLOW, polled.progress, polled.events)
        assigned = assign_episodes(polled, workers.sessions, workers.replaced)
        early = assigned.closed_early
        metrics.add("semloop_episodes_closed_early_total", early, flow=FLOW)
        open_episodes = sum(map(len, workers.sessions.values()))
        metrics.set("semloop_open_episodes", open_episodes, flow=FLOW)
        return assigned

    @guard.step
    def chunk_poll(assigned: Assigned) -> Chunked:
        today = agreed_date(assigned.progress, context.now())
        chunked = chunk(assigned, settings.memory)
        return without_expired(chunked, settings.maintenance, today)

    embed_poll = embed_step(
        settings, metrics, FLOW, lambda: workers.embedder, lambda: workers.cache
    )
    dataflow = Dataflow(FLOW)
    source = ReaderSource(
        guard.step(workers.open_reader),
        until_caught_up=until_caught_up,
        guard=guard.poll,
    )
    polls = op.input("events", dataflow, source)
    # PolledEvents(events=1,000 rows of `events`, progress={("<topic id>", 0): 1041})
    assigned = op.map("assign", polls, assign_poll)
    # Assigned(memorable=870 of them, places=870 rows, episodes=60 new revisions)
    chunked = op.map("chunk", assigned, chunk_poll)
    # Chunked(memories=890 texts of bounded length, skipped={"importance": 12})
    vectored = op.map("embed", chunked, guard.step(embed_poll))
    # Vectored(memories=890 texts with their vectors)
    op.output("tables", vectored, WriterSink(workers.writer_of, guard.step))
    return dataflow
