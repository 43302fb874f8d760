"""`semloop maintain retain` and `vacuum`: rows that expire, files that are unused."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from semloop import layout
from semloop.command.terminal.figures import format_bytes, format_count
from semloop.command.terminal.printing import say
from semloop.errors import LakeError
from semloop.settings import load
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from sinks.retention.tables import Report as RetainReport
    from sinks.vacuum import Report

Quiet = Annotated[
    bool, typer.Option("--quiet", help="Say nothing if there is nothing to do.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def retain(*, dry_run: DryRun = False, quiet: Quiet = False) -> None:
    """Remove rows that have expired by the setting `retention`."""
    settings = load()
    if not settings.maintenance.expires:
        if not quiet:
            limits = "`retention`, `memories_max` and `memories_importance_min`"
            say(f"All rows are kept indefinitely: the settings {limits} have no limit.")
        return
    layout.require_lake(Storage.of(settings))
    from flows.logging_setup import configure
    from flows.retain import retain as run

    configure(settings, sys.stderr)
    report = run(settings, dry_run=dry_run)
    _show_expired(report, dry_run=dry_run, quiet=quiet)
    if report.failed:
        msg = f"Rows of {len(report.failed):,} dates of tables could not be removed."
        raise LakeError(msg, "See the errors above; all other dates are done.")


def _show_expired(report: "RetainReport", *, dry_run: bool, quiet: bool) -> None:
    for table, found in report.expired.items():
        dates, rows = format_count(found.dates, "date"), format_count(found.rows, "row")
        verb = "would go" if dry_run else "are gone"
        say(f"{table}: {rows} of {dates} ({format_bytes(found.bytes)}) {verb}.")
    for table, count in report.held.items():
        say(f"{table}: {format_count(count, 'date')} kept; see the warnings above.")
    if report.lost:
        dates = format_count(report.lost, "date")
        say(f"{dates} changed by another run meanwhile: run `semloop maintain retain`.")
    if not (report.expired or report.held or report.lost or report.failed or quiet):
        say("No rows have expired.")


def vacuum(*, dry_run: DryRun = False, quiet: Quiet = False) -> None:
    """Delete files that no version of a table has had for `vacuum_hours`."""
    from flows.logging_setup import configure
    from flows.vacuum import vacuum as run

    settings = load()
    layout.require_lake(Storage.of(settings))
    configure(settings, sys.stderr)
    report = run(settings, dry_run=dry_run)
    _show_deleted(report, dry_run=dry_run, quiet=quiet)
    if report.failed:
        msg = f"The vacuum failed for {', '.join(sorted(report.failed))}."
        raise LakeError(msg, "See the errors above; all other tables are done.")


def _show_deleted(report: "Report", *, dry_run: bool, quiet: bool) -> None:
    found = {table: each for table, each in report.deleted.items() if each.files}
    for table, deleted in found.items():
        files, size = format_count(deleted.files, "file"), format_bytes(deleted.bytes)
        verb = "would be deleted" if dry_run else "deleted"
        say(f"{table}: {files} ({size}) {verb}.")
    if not found and not quiet:
        say("No files are to be deleted.")
