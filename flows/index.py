"""The scheduled flow `index`: compacts, indexes and cleans up the memories."""

from collections.abc import Iterator

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.bytewax_io import ReaderSource, WriterSink
from flows.guard import EXIT_ON_ERROR, Guard, prepare_flow
from flows.process_memory import bound_maintenance_memory
from flows.scheduled import log_steps, run_to_end
from schemas.batches import MaintenanceTask
from schemas.metrics import Metrics
from schemas.steps import ProgressCallback
from semloop import layout
from semloop.flow_registry import INDEX
from semloop.lake.generations import EPISODES, generation_of
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.flow_tables import FlowContext
from sinks.vectors.index_maintenance import IndexMaintenance
from sinks.vectors.maintenance import Report
from sources.work_items import WorkItems


def flow() -> Dataflow:
    """Return the flow that the environment configures, for Bytewax's own runner."""
    bound_maintenance_memory()
    return prepare_flow(build)


def build(settings: Settings, metrics: Metrics) -> Dataflow:
    """Build the flow for a process of its own; it opens nothing before it runs.

    Args:
        settings: the lake.
        metrics: receives the counts.
    """
    context = FlowContext(settings, Storage.of(settings), metrics)
    writer = IndexMaintenance(context, log_steps(INDEX.name))
    return _dataflow(context, writer, EXIT_ON_ERROR)


def index(
    settings: Settings, show: ProgressCallback = lambda step, done, total: None
) -> Report:
    """Compact and index the memories; remove generations that `reindex` replaced.

    Args:
        settings: the lake.
        show: called with (step, done, total) as work progresses.

    Raises:
        LakeError: the memories are missing or not writable.
        StorageUnavailable: storage failed for `storage_retry_s`, or another `index`
            committed first.
    """
    context = FlowContext(settings, Storage.of(settings), Metrics())
    writer = IndexMaintenance(context, show)
    run_to_end(lambda guard: _dataflow(context, writer, guard))
    return writer.report


def _dataflow(context: FlowContext, writer: IndexMaintenance, guard: Guard) -> Dataflow:
    def open_reader(worker_index: int, worker_count: int) -> WorkItems[MaintenanceTask]:
        return WorkItems(iter(()) if worker_index else _work(context.storage))

    dataflow = Dataflow(INDEX.name)
    source = ReaderSource(open_reader, guard=guard.poll)
    work = op.input("generations", dataflow, source)
    # MaintenanceTask(generation=2)
    op.output("memories", work, WriterSink(lambda worker: writer, guard.step))
    return dataflow


def _work(storage: Storage) -> Iterator[MaintenanceTask]:
    """Yield the current generation; none if the flow `memory` never ran."""
    layout.check(storage)
    if storage.has(EPISODES):
        yield MaintenanceTask(generation_of(storage.open(EPISODES)))
