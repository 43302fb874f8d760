"""`semloop maintain rebuild`: episodes and memories again, from `events`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from semloop import layout
from semloop.command.terminal.figures import format_count
from semloop.command.terminal.printing import say
from semloop.command.terminal.progress import step_progress
from semloop.errors import ConfigError
from semloop.settings import load
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from schemas.rebuild import Difference, Parity, Plan, RebuildReport

REASONS = {
    "evicted": "closed because too many were open, which depends on the time",
    "late": "closed by inactivity before a record that its producer held back",
    "other": "settings or the program were changed, or rows of a table",
}


def rebuild(
    *,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Only compare the episodes with those that `events` give; exit "
            "code 1 if some differ.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be read and kept.")
    ] = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Continue although neither `events` nor `episodes` tells about the "
            "oldest records, or memories that cannot be made again are missing.",
        ),
    ] = False,
) -> None:
    """Make all episodes and memories again from events, and switch to them."""
    from flows.logging_setup import configure

    if verify and dry_run:
        msg = "--verify and --dry-run exclude each other."
        raise ConfigError(msg, "Use one: both change nothing.")
    settings = load()
    layout.require_lake(Storage.of(settings))
    configure(settings, sys.stderr)
    if dry_run:
        from flows.rebuild import plan

        _show_plan(plan(settings))
    elif verify:
        from flows.rebuild_parity import verify as run_verify

        with step_progress() as show:
            parity = run_verify(settings, show)
        _show_parity(parity)
        if not parity.agrees:
            raise typer.Exit(1)
    else:
        from flows.rebuild import rebuild as run

        with step_progress() as show:
            report = run(settings, show, accept_loss=accept_loss)
        _show_report(report)


def _show_plan(plan: "Plan") -> None:
    say(
        f"{format_count(plan.held.rows, 'event')} would be read; the table has "
        f"{format_count(plan.episodes, 'episode')}."
    )
    if plan.carried:
        carried = format_count(plan.carried, "episode")
        say(f"{carried} would be copied: their first events are gone.")
    if plan.lost:
        lost = format_count(plan.lost, "offset")
        say(f"{lost} before the first event of a partition would give nothing.")
    say("Nothing was changed.")


def _show_report(report: "RebuildReport") -> None:
    say(
        f"Events read: {report.events:,}. Episodes: {report.episodes:,}, of which "
        f"copied, because their first events are gone: {report.carried:,}."
    )
    say(
        f"Memories: {report.memories:,}, of which copied: {report.carried_memories:,}; "
        f"model: {report.model}, skipped by settings: {report.skipped:,}."
    )
    say(f"Generation {report.generation} is now current.")


def _show_parity(parity: "Parity") -> None:
    say(
        f"Episodes compared: {parity.compared:,}. Hash of the table: {parity.stored}, "
        f"of what `events` give: {parity.computed}."
    )
    if parity.carried:
        carried = format_count(parity.carried, "episode")
        say(f"{carried} cannot be computed, because their first events are gone:")
        for episode_id in parity.carried_ids:
            say(f"- {episode_id}")
        _show_left_out(parity.carried - len(parity.carried_ids))
    if parity.agrees:
        say("The table is what `events` give.")
        return
    for reason, count in parity.reasons.items():
        say(f"Episodes that differ ({REASONS[reason]}): {count:,}.")
    for difference in parity.differences:
        say(f"- {_line(difference)}")
    _show_left_out(sum(parity.reasons.values()) - len(parity.differences))


def _line(found: "Difference") -> str:
    def until(offset: int | None) -> str:
        return "absent" if offset is None else f"to offset {offset:,}"

    session = f"{found.namespace}/{found.session_id}"
    return (
        f"{found.episode_id} ({session}, partition {found.partition}, from offset "
        f"{found.first_offset:,}): {until(found.stored)} in the table, "
        f"{until(found.computed)} computed; {found.reason}"
    )


def _show_left_out(count: int) -> None:
    if count:
        say(f"… and {count:,} more.")
