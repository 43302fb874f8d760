"""The scheduled flow `vacuum`: deletes data files that no version of a table has.

And artifacts that no row names.

It runs while other flows write and readers read. A file stays for `vacuum_hours` after
it was replaced, for the queries that read an earlier version.
"""

import functools
from collections.abc import Iterator
from datetime import timedelta

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.bytewax_io import ReaderSource, WriterSink
from flows.guard import EXIT_ON_ERROR, Guard, prepare_flow
from flows.scheduled import run_to_end, with_signs_of_life
from schemas.batches import VacuumTask
from schemas.metrics import Metrics
from semloop import layout
from semloop.artifacts import FOLDER as ARTIFACTS
from semloop.delta.unused_files import UnusedFiles, unused_files
from semloop.errors import SemLoopError, StorageUnavailable
from semloop.flow_registry import VACUUM
from semloop.retry import retry
from semloop.settings import Settings
from semloop.storage import store_time
from semloop.storage.listing import stored_files
from semloop.storage.location import Storage
from semloop.tables import DELTA_TABLES
from sinks.flow_tables import FlowContext
from sinks.unnamed_artifacts import unnamed_artifacts
from sinks.vacuum import Report, VacuumedTables
from sources.work_items import WorkItems


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
    return _dataflow(context, Report(), EXIT_ON_ERROR, dry_run=False)


def vacuum(settings: Settings, *, dry_run: bool = False) -> Report:
    """Delete the data files of all tables that were unused for `vacuum_hours`.

    A table that cannot be vacuumed is logged and left out; the report names it.

    Args:
        settings: the lake.
        dry_run: count the files, and delete none.

    Raises:
        LakeError: the lake has another layout, or cannot be read.
        StorageUnavailable: storage failed for `storage_retry_s`.
    """
    context = FlowContext(settings, Storage.of(settings), Metrics())
    report = Report()
    run_to_end(lambda guard: _dataflow(context, report, guard, dry_run=dry_run))
    return report


def _dataflow(
    context: FlowContext, report: Report, guard: Guard, *, dry_run: bool
) -> Dataflow:
    def open_reader(worker_index: int, worker_count: int) -> WorkItems[VacuumTask]:
        tables = _tables(context.storage, worker_index, worker_count)
        if dry_run:
            return WorkItems(tables)
        return WorkItems(with_signs_of_life(context, VACUUM, worker_index, tables))

    def find(task: VacuumTask) -> UnusedFiles | None:
        try:
            return _unused(context, task.table)
        except SemLoopError as error:
            report.fail(task.table, error)
            return None

    @functools.cache
    def writer_of(worker_index: int) -> VacuumedTables:
        return VacuumedTables(context, report, dry_run=dry_run)

    dataflow = Dataflow(VACUUM.name)
    source = ReaderSource(open_reader, guard=guard.poll)
    tasks = op.input("tables", dataflow, source)
    # VacuumTask(table="events")
    found = op.filter_map("find", tasks, guard.step(find))
    # UnusedFiles(table="events", replaced=(StoredFile("events/date=..", ..), ..))
    op.output("files", found, WriterSink(writer_of, guard.step))
    return dataflow


def _tables(
    storage: Storage, worker_index: int, worker_count: int
) -> Iterator[VacuumTask]:
    """Yield a worker's share of the tables."""
    layout.check(storage)
    for table in (*DELTA_TABLES, ARTIFACTS)[worker_index::worker_count]:
        yield VacuumTask(table)


def _unused(context: FlowContext, table: str) -> UnusedFiles:
    """Return the files to delete; read the log again if it is cleaned up meanwhile."""
    storage, settings = context.storage, context.settings
    kept = timedelta(hours=settings.maintenance.vacuum_hours)

    def find() -> UnusedFiles:
        safe_s = (store_time.now(storage) - kept).timestamp()
        if table == ARTIFACTS:
            return unnamed_artifacts(storage, safe_s)
        found = unused_files(storage, table, stored_files(storage, table), safe_s)
        if found is None:
            msg = f"The log of table {table} changes too often to be read."
            raise StorageUnavailable(msg, "Run the vacuum again.")
        return found

    return retry(find, on=StorageUnavailable, seconds=settings.commits.storage_retry_s)
