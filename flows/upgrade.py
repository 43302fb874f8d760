"""Brings a lake of an older layout to the one of this program, in steps.

What is due is read from the lake before each run, and each step is a commit of its own:
an upgrade may be killed at any moment and run again. Flows and readers may run; those
of earlier versions are refused as soon as the first step is done.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import structlog

from flows.reindex import reindex
from operators.compaction import plan_unnumbered
from schemas.batches import Merge
from schemas.metrics import Metrics
from schemas.table_parts import part_name
from semloop import layout, tables
from semloop.errors import LakeError, SemLoopError, StorageUnavailable
from semloop.lake import generations
from semloop.retry import retry
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.compaction.merged_file import write_merged
from sinks.compaction.tables import CompactedTables, Report
from sinks.compaction.wide_rows import within_memory
from sinks.delta.create_table import bring_up_to_date, outdated
from sinks.flow_tables import FlowContext
from sources.lake.unnumbered_files import dates_before_numbers

log = structlog.get_logger("flow")


@dataclass(frozen=True)
class Step:
    """One thing that is due: `what` tells it, `apply` does it.

    The others are done if it fails, unless it is `required` for them.
    """

    what: str
    apply: Callable[[], object]
    required: bool = False


def upgrade(
    settings: Settings, show: Callable[[str], None], *, dry_run: bool = False
) -> int:
    """Bring a lake to the layout of this program.

    Args:
        settings: the lake; the embedder, if the memories have to be filled again.
        show: called with a line for each step, before it.
        dry_run: change nothing.

    Returns:
        Number of steps that were due.

    Raises:
        LakeError: the lake cannot be upgraded, or a step has failed.
        StorageUnavailable: storage failed for `storage_retry_s`.
    """
    count = failed = 0
    for step in due_steps(settings):
        count += 1
        show(step.what)
        try:
            if not dry_run:
                step.apply()
        except SemLoopError as error:
            if step.required:
                raise
            log.error("step failed", step=step.what, what=error.what, todo=error.todo)
            failed += 1
    if failed:
        msg = f"{failed} of {count} steps have failed."
        raise LakeError(msg, "See the errors above, then run the upgrade again.")
    return count


def due_steps(settings: Settings) -> Iterator[Step]:
    """Yield the steps that are due; apply each before asking for the next one.

    The number comes first, so that no older program starts on what the others change.

    Raises:
        LakeError: the lake cannot be upgraded, or a table cannot be read.
        StorageUnavailable: the storage is not available.
    """
    storage = Storage.of(settings)
    layout.check(storage)
    yield from _number(storage)
    yield from _tables(settings, storage)
    yield from _memories(settings, storage)
    yield from _files(settings, storage)


def _number(storage: Storage) -> Iterator[Step]:
    if layout.is_older(storage):
        number = tables.LAYOUT_VERSION
        what = (
            f"layout {layout.stored(storage)} becomes {number}; programs that do not "
        )
        apply = partial(layout.set_current, storage)
        yield Step(what + "know it are refused from now on", apply, required=True)


def _tables(settings: Settings, storage: Storage) -> Iterator[Step]:
    for name in tables.DELTA_TABLES:
        if storage.has(name) and (missing := outdated(storage, name)):
            add = partial(bring_up_to_date, storage, name)
            seconds = settings.commits.storage_retry_s
            apply = partial(retry, add, on=StorageUnavailable, seconds=seconds)
            yield Step(f"table {name} gets {', '.join(missing)}", apply)


def _files(settings: Settings, storage: Storage) -> Iterator[Step]:
    for item in dates_before_numbers(storage):
        name = part_name(item.table, item.date)
        try:
            parts = [
                p for m in plan_unnumbered(item) for p in within_memory(storage, m)
            ]
        except SemLoopError as error:
            yield Step(f"files of {name} are merged", partial(_fail, error))
            continue
        if parts:
            count = sum(len(part.files) for part in parts)
            what = f"{count:,} files of {name} become {len(parts):,}"
            yield Step(what, partial(_merge, settings, storage, parts))


def _fail(error: SemLoopError) -> None:
    raise error


def _merge(settings: Settings, storage: Storage, merges: Iterable[Merge]) -> None:
    report = Report()
    written = CompactedTables(FlowContext(settings, storage, Metrics()), report)
    for merge in merges:
        written.add(write_merged(storage, merge, settings.commits.storage_retry_s))
    if report.lost:
        msg = f"{report.lost} merged files were not added: the table changed meanwhile."
        raise LakeError(msg, "Nothing is lost. Run the upgrade again.")


def _memories(settings: Settings, storage: Storage) -> Iterator[Step]:
    generation = generations.current(storage)
    table = generation and generations.open_existing(storage, generation)
    if table and set(table.schema.names) != tables.MEMORIES.keys():
        what = "memories are filled again, as `semloop maintain reindex` does"
        yield Step(what, partial(reindex, settings))
