"""The scheduled flow `compact`: small files of the Delta tables -> fewer, sorted ones.

It runs while other flows write and readers read. A merged file and the files that it
replaces change places in one log entry, so a reader sees either the one or the others.
"""

import functools
from collections.abc import Iterator

import bytewax.operators as op
import structlog
from bytewax.dataflow import Dataflow

from flows.bytewax_io import ReaderSource, WriterSink
from flows.compaction_due import cold_dates
from flows.guard import EXIT_ON_ERROR, Guard, prepare_flow
from flows.scheduled import run_to_end, with_signs_of_life
from operators.compaction import plan
from schemas.batches import Merge
from schemas.compaction import MergedFile
from schemas.metrics import Metrics
from semloop import layout
from semloop.errors import SemLoopError
from semloop.flow_registry import COMPACT
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.compaction.merged_file import write_merged
from sinks.compaction.tables import CompactedTables, Report
from sinks.compaction.wide_rows import within_memory
from sinks.flow_tables import FlowContext
from sources.lake.table_dates import table_dates
from sources.work_items import WorkItems

# A run merges the files of one level; files that it made may be due for the next one.
RUNS_MAX = 10

log = structlog.get_logger("flow")


def flow() -> Dataflow:
    """Return the flow that the environment configures, for Bytewax's own runner."""
    return prepare_flow(build)


def build(settings: Settings, metrics: Metrics) -> Dataflow:
    """Build the flow for a process of its own; it opens nothing before it runs.

    Args:
        settings: the lake.
        metrics: receives the counts.
    """
    context = FlowContext(settings, Storage.of(settings), metrics)
    return _dataflow(context, Report(), EXIT_ON_ERROR)


def compact(settings: Settings) -> Report:
    """Merge small files until none are due.

    A merge that cannot be done, because of a damaged file for example, is logged and
    left out; the report counts it.

    Args:
        settings: the lake.

    Raises:
        LakeError: a table cannot be read or written, or the lake must be upgraded.
        StorageUnavailable: storage failed for `storage_retry_s`.
    """
    context = FlowContext(settings, Storage.of(settings), Metrics())
    report = Report()
    for _ in range(RUNS_MAX):
        merged = report.merged
        run_to_end(lambda guard: _dataflow(context, report, guard))
        if report.merged == merged:
            break
    return report


def _dataflow(context: FlowContext, report: Report, guard: Guard) -> Dataflow:
    def open_reader(worker_index: int, worker_count: int) -> WorkItems[Merge]:
        merges = _merges(context, report, worker_index, worker_count)
        return WorkItems(with_signs_of_life(context, COMPACT, worker_index, merges))

    def write(merge: Merge) -> MergedFile | None:
        try:
            seconds = context.settings.commits.storage_retry_s
            return write_merged(context.storage, merge, seconds)
        except SemLoopError as error:
            report.fail(merge, error)
            return None

    @functools.cache
    def writer_of(worker_index: int) -> CompactedTables:
        return CompactedTables(context, report)

    dataflow = Dataflow(COMPACT.name)
    source = ReaderSource(open_reader, guard=guard.poll)
    merges = op.input("merges", dataflow, source)
    # Merge(table="events", date=2026-11-20, files=60 of consecutive commits)
    merged = op.filter_map("write", merges, guard.step(write))
    # MergedFile(path="date=2026-11-20/compacted-1-17-77-<uuid>.zstd.parquet")
    op.output("tables", merged, WriterSink(writer_of, guard.step))
    return dataflow


def _merges(
    context: FlowContext, report: Report, worker_index: int, worker_count: int
) -> Iterator[Merge]:
    """Yield a worker's share of the merges that are due.

    Workers that read different versions may plan the same merge; one of them commits.
    """
    layout.require_current(context.storage)
    cold = cold_dates(context.settings.maintenance)
    ignored = not context.storage.on_s3 and cold.compression.storage_class
    for item in table_dates(context.storage, context.now().date(), cold=cold):
        if item.cold and ignored:
            log.warning("storage class ignored: the lake is a folder", name=ignored)
            ignored = ""
        if (item.table, item.date) in report.failed:
            continue
        for number, merge in enumerate(plan(item)):
            place = item.date.toordinal() if item.date else 0
            if (place + number) % worker_count == worker_index:
                try:
                    yield from list(within_memory(context.storage, merge))
                except SemLoopError as error:
                    report.fail(merge, error)
