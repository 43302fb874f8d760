"""The scheduled flow `retain`: rows that have expired leave their tables.

It runs while other flows write and readers read. The rows of a date go in one log
entry; their files are deleted by the flow `vacuum`. Memories go in commits of LanceDB;
their files are deleted by the flow `index`.
"""

import functools
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream

from flows.bytewax_io import ReaderSource, WriterSink
from flows.compaction_due import cold_dates
from flows.guard import EXIT_ON_ERROR, Guard, prepare_flow
from flows.scheduled import run_to_end, with_signs_of_life
from operators.memories.expiry import memory_expiry
from operators.retention import expired_rows
from schemas.batches import ExpiredDate, ExpiredMemories
from schemas.metrics import Metrics
from schemas.retention import Expiry
from semloop import layout
from semloop.errors import SemLoopError
from semloop.flow_registry import RETAIN
from semloop.lake import generations
from semloop.settings import Settings
from semloop.storage import store_time
from semloop.storage.location import Storage
from semloop.tables import DELTA_TABLES, TABLES
from sinks.flow_tables import FlowContext
from sinks.retention.expired_rows import expire
from sinks.retention.tables import EARLIER, Report, RetainedTables
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
    cold = cold_dates(context.settings.maintenance)

    def open_reader(
        worker_index: int, worker_count: int
    ) -> WorkItems[ExpiredDate | ExpiredMemories]:
        items = _items(context, worker_index, worker_count)
        if dry_run:
            return WorkItems(items)
        return WorkItems(with_signs_of_life(context, RETAIN, worker_index, items))

    def find(item: ExpiredDate | ExpiredMemories) -> Expiry | ExpiredMemories | None:
        if isinstance(item, ExpiredMemories):
            return item
        try:
            seconds = context.settings.commits.storage_retry_s
            is_early = report.keeps_later_dates(item.table)
            found = expire(
                context.storage,
                item,
                seconds,
                # Files of a date that cannot go yet are not written for nothing.
                dry_run=dry_run or is_early,
                cold=cold.compression_of(item.table),
            )
            if is_early and found.removed:
                # It lacks the files with the rows that stay: it must never go as it is.
                found = replace(found, held=found.held or EARLIER)
            if found.held:
                report.kept.add(found.table)
            return found
        except SemLoopError as error:
            report.fail(item.table, item.date, error)
            return None

    @functools.cache
    def writer_of(worker_index: int) -> RetainedTables:
        return RetainedTables(context, report, dry_run=dry_run)

    dataflow = Dataflow(RETAIN.name)
    source = ReaderSource(open_reader, guard=guard.poll)
    items = op.input("dates", dataflow, source)
    # ExpiredDate(table="events", date=2026-08-20, condition="true")
    expiries: Stream[Expiry | ExpiredMemories]
    expiries = op.filter_map("expire", items, guard.step(find))
    # Expiry(table="events", date=2026-08-20, removed=3 files, added=(), rows=91_234)
    op.output("tables", expiries, WriterSink(writer_of, guard.step))
    return dataflow


def _items(
    context: FlowContext, worker_index: int, worker_count: int
) -> Iterator[ExpiredDate | ExpiredMemories]:
    """Yield a worker's share of the dates with expired rows; the first one memories."""
    storage, settings = context.storage, context.settings.maintenance
    if not settings.expires:
        return
    layout.require_current(storage)
    # Asked for when a table exists: it writes a file.
    today = functools.cache(lambda: store_time.agreed_date(storage))
    named = {key.partition("/")[0] for key in settings.retention}
    tables = sorted(named.intersection(DELTA_TABLES))

    def condition_of(table: str, day: date) -> str | None:
        return expired_rows(settings.retention, table, day, today())

    for item in expired_dates(storage, tables, condition_of):
        # Dates with revisions of the same rows go one after the other.
        place = 0 if TABLES[item.table].folded_by else item.date.toordinal()
        if place % worker_count == worker_index:
            yield item
    if worker_index or (generation := generations.current(storage)) is None:
        return
    expiry = memory_expiry(settings, today())
    if settings.memories_max or not expiry.is_empty:
        yield ExpiredMemories(generation, expiry.sql, settings.memories_max)
