"""The flow `metrics`: events -> sums by minute and agent -> agent_metrics.

It reads `events` as `archive` commits them. It keeps nothing between two polls, so its
memory does not depend on the number of agents, tools or minutes.
"""

from collections.abc import Sequence

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from typing_extensions import override

from flows.bytewax_io import ReaderSource, WriterSink
from flows.guard import EXIT_ON_ERROR, Guard, prepare_flow
from flows.lake_workers import LakeWorkers
from operators.metrics.sums import sum_events
from schemas.metrics import Metrics
from schemas.summed import Summed
from semloop.delta.streams import Partition, Streams
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.flow_tables import FlowContext
from sinks.metrics_tables import FLOW, MetricsTables


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
        settings: the lake and the topic.
        metrics: receives the counts.
        guard: decides what an error of a step does.
        until_caught_up: stop once all events that existed at the start are committed.
    """
    context = FlowContext(settings, Storage.of(settings), metrics)
    workers = MetricsWorkers(context, until_caught_up=until_caught_up)
    dataflow = Dataflow(FLOW)
    source = ReaderSource(
        guard.step(workers.open_reader),
        until_caught_up=until_caught_up,
        guard=guard.poll,
    )
    polls = op.input("events", dataflow, source)
    # PolledEvents(events=1,000 rows of `events`, progress={("<topic id>", 0): 1041})
    summed = op.map("sum", polls, guard.step(sum_events))
    # Summed(sums=410 rows of `agent_metrics`, events=1,000)
    op.output("tables", summed, WriterSink(workers.writer_of, guard.step))
    return dataflow


class MetricsWorkers(LakeWorkers[Summed]):
    """Tables and reader of each worker."""

    flow = FLOW

    @override
    def _taken_over(
        self, streams: Streams, owned: Sequence[Partition]
    ) -> tuple[MetricsTables, dict[Partition, int]]:
        tables = MetricsTables(self._context, streams, owned)
        return tables, tables.take_over()
