"""The scheduled flow `index`: files and indexes of the memories, old generations."""

from collections.abc import Iterator

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.bytewax_io import ReaderSource, WriterSink
from flows.guard import started
from flows.scheduled import EndsProcess, Guard, logged, run_to_end
from schemas.batches import MaintenanceTask
from schemas.metrics import Metrics
from schemas.steps import ProgressCallback
from semloop.flow_registry import INDEX
from semloop.lake.generations import EPISODES, generation_of
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.flow_tables import FlowContext
from sinks.vectors.maintenance import Report
from sinks.vectors.upkeep import MemoryUpkeep
from sources.work_items import WorkItems


def flow() -> Dataflow:
    """The flow as the environment configures it; what Bytewax's own runner calls."""
    return started(build)


def build(settings: Settings, metrics: Metrics) -> Dataflow:
    """The flow in a process of its own; nothing is opened before it runs.

    Args:
        settings: the lake.
        metrics: where counts go.
    """
    context = FlowContext(settings, Storage.of(settings), metrics)
    writer = MemoryUpkeep(context, logged(INDEX.name))
    return _dataflow(context, writer, EndsProcess())


def index(
    settings: Settings, show: ProgressCallback = lambda step, done, total: None
) -> Report:
    """Keep the memories quick to search, and remove those that `reindex` replaced.

    Args:
        settings: the lake.
        show: told (step, done, total) of the work.

    Raises:
        LakeError: the memories are gone, or may not be written.
        StorageUnavailable: not within `storage_retry_s`, or another one was quicker.
    """
    context = FlowContext(settings, Storage.of(settings), Metrics())
    writer = MemoryUpkeep(context, show)
    run_to_end(lambda guard: _dataflow(context, writer, guard))
    return writer.report


def _dataflow(context: FlowContext, writer: MemoryUpkeep, guard: Guard) -> Dataflow:
    def open_reader(worker_index: int, worker_count: int) -> WorkItems[MaintenanceTask]:
        return WorkItems(iter(()) if worker_index else _work(context.storage))

    dataflow = Dataflow(INDEX.name)
    source = ReaderSource(open_reader, guard=guard.poll)
    work = op.input("generations", dataflow, source)
    # MaintenanceTask(generation=2)
    op.output("memories", work, WriterSink(lambda worker: writer, guard.step))
    return dataflow


def _work(storage: Storage) -> Iterator[MaintenanceTask]:
    """The generation that holds; nothing where the flow `memory` never ran."""
    if storage.has(EPISODES):
        yield MaintenanceTask(generation_of(storage.open(EPISODES)))
