"""The scheduled flow `retain`: rows that have expired leave their tables.

It runs while other flows write and readers read. The rows of a date go in one log
entry; their files are deleted by the flow `vacuum`.
"""

import functools
from collections.abc import Iterator
from datetime import UTC, date, datetime

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.bytewax_io import ReaderSource, WriterSink
from flows.guard import EXIT_ON_ERROR, Guard, prepare_flow
from flows.scheduled import run_to_end
from operators.retention import expired_rows
from schemas.batches import ExpiredDate
from schemas.metrics import Metrics
from schemas.retention import Expiry
from semloop import layout
from semloop.errors import SemLoopError
from semloop.flow_registry import RETAIN
from semloop.settings import Settings
from semloop.storage import store_time
from semloop.storage.location import Storage
from semloop.tables import TABLES
from sinks.flow_tables import FlowContext
from sinks.retention.expired_rows import expire
from sinks.retention.tables import Report, RetainedTables
from sources.lake.expired_dates import expired_dates
from sources.work_items import WorkItems


def flow() -> Dataflow:
    """Return the flow that the environment configures, for Bytewax's own runner."""
    return prepare_flow(build)


def build(settings: Settings, metrics: Metrics) -> Dataflow:
    """Build the flow for a process of its own; it opens nothing before it runs.

    Args:
        settings: the lake and its `retention`.
        metrics: receives the counts.
    """
    context = FlowContext(settings, Storage.of(settings), metrics)
    return _dataflow(context, Report(), EXIT_ON_ERROR, dry_run=False)


def retain(settings: Settings, *, dry_run: bool = False) -> Report:
    """Remove the rows that have expired by the setting `retention`.

    A date that fails, because of a damaged file for example, is logged and left out;
    the report counts it.

    Args:
        settings: the lake and its `retention`.
        dry_run: count the rows, and remove none.

    Raises:
        LakeError: a table cannot be read or written.
        StorageUnavailable: storage failed for `storage_retry_s`.
    """
    context = FlowContext(settings, Storage.of(settings), Metrics())
    report = Report()
    run_to_end(lambda guard: _dataflow(context, report, guard, dry_run=dry_run))
    return report


def _dataflow(
    context: FlowContext, report: Report, guard: Guard, *, dry_run: bool
) -> Dataflow:
    def open_reader(worker_index: int, worker_count: int) -> WorkItems[ExpiredDate]:
        return WorkItems(_dates(context, worker_index, worker_count))

    def find(item: ExpiredDate) -> Expiry | None:
        try:
            seconds = context.settings.commits.storage_retry_s
            return expire(context.storage, item, seconds, dry_run=dry_run)
        except SemLoopError as error:
            report.fail(item.table, item.date, error)
            return None

    @functools.cache
    def writer_of(worker_index: int) -> RetainedTables:
        return RetainedTables(context, report, dry_run=dry_run)

    dataflow = Dataflow(RETAIN.name)
    source = ReaderSource(open_reader, guard=guard.poll)
    dates = op.input("dates", dataflow, source)
    # ExpiredDate(table="events", date=2026-08-20, condition="true")
    expiries = op.filter_map("expire", dates, guard.step(find))
    # Expiry(table="events", date=2026-08-20, removed=3 files, added=(), rows=91_234)
    op.output("tables", expiries, WriterSink(writer_of, guard.step))
    return dataflow


def _dates(
    context: FlowContext, worker_index: int, worker_count: int
) -> Iterator[ExpiredDate]:
    """Yield a worker's share of the dates with expired rows."""
    retention = context.settings.maintenance.retention
    tables = sorted({key.partition("/")[0] for key in retention})
    if not tables:
        return
    layout.require_current(context.storage)
    today = _today(context.storage)

    def condition_of(table: str, day: date) -> str | None:
        return expired_rows(retention, table, day, today)

    for item in expired_dates(context.storage, tables, condition_of):
        # Dates with revisions of the same rows go one after the other.
        place = 0 if TABLES[item.table].folded_by else item.date.toordinal()
        if place % worker_count == worker_index:
            yield item


def _today(storage: Storage) -> date:
    """Return the date; one clock that is ahead must not remove rows."""
    return min(store_time.now(storage), datetime.now(UTC)).date()
