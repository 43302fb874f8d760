"""`semloop health`: what is wrong now, with codes and exit codes for programs."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from semloop.command.cli.health_report import report, run_checks, run_live_checks
from semloop.command.cli.status import Form, StatusFormat
from semloop.command.health import EXIT_CODES, Check, Status, gravest
from semloop.command.health.codes import CODES
from semloop.command.terminal.printing import say
from semloop.command.terminal.progress import spinner
from semloop.errors import ConfigError
from semloop.settings import Settings, load

MARKS = {
    Status.OK: "ok  ",
    Status.NOTE: "note",
    Status.WARN: "warn",
    Status.FAIL: "FAIL",
}


class Probe(StrEnum):
    """A subset of the checks, for the probes of an orchestrator."""

    READY = "ready"
    LIVE = "live"


def health(
    form: Form = StatusFormat.TABLE,
    as_list: Annotated[
        bool, typer.Option("--json", help="Print a JSON array with an object a check.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Continue, and print what changes; Ctrl-C ends."),
    ] = False,
    every_s: Annotated[
        float, typer.Option("--every", min=0.1, help="Seconds between two checks.")
    ] = 5.0,
    ready: Annotated[
        bool, typer.Option("--ready", help="Only broker, lake and running flows.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Only what a restart of a flow fixes.")
    ] = False,
) -> None:
    """Check broker, lake, flows and what became of the agents' records.

    Exits with 0 if all checks pass, with 1 if one fails, with 2 if one only warns.
    """
    if live and ready:
        msg = "--ready and --live are two probes, and were given together."
        raise ConfigError(msg, "Give one of them.")
    probe = Probe.LIVE if live else Probe.READY if ready else None
    settings = load()
    with spinner("Checking ..."):
        checks = _checks(settings, probe)
    if as_list:
        _print_list(checks)
    elif form is StatusFormat.JSON:
        say(json.dumps(report(checks), indent=2))
    else:
        if not checks:
            say("No flow has shown a sign of life in this lake yet.")
        for check in checks:
            _print(check)
    while watch:
        time.sleep(every_s)
        before, checks = checks, _checks(settings, probe)
        _print_changes(changes(before, checks), as_list=as_list)
    # A probe is passed or not: a restart cannot help against a warning.
    status = gravest(checks)
    code = EXIT_CODES[status] if probe is None else int(status is Status.FAIL)
    if code:
        raise typer.Exit(code)


def _checks(settings: Settings, probe: Probe | None) -> list[Check]:
    checks = run_live_checks(settings) if probe is Probe.LIVE else run_checks(settings)
    if probe is None:
        return checks
    return [check for check in checks if getattr(CODES[check.code], probe)]


def _print(check: Check) -> None:
    # One line each, even if an error text or a path contains line breaks.
    say(f"{MARKS[check.status]}  {' '.join(check.what.split())}")
    if check.todo:
        say(f"      {' '.join(check.todo.split())}", flush=True)


def _print_list(checks: Sequence[Check]) -> None:
    say(json.dumps([asdict(check) for check in checks], indent=2), flush=True)


def _print_changes(found: Sequence[Check], *, as_list: bool) -> None:
    if not found:
        return
    if as_list:
        _print_list(found)
        return
    say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
    for check in found:
        _print(check)


def changes(before: Sequence[Check], after: Sequence[Check]) -> list[Check]:
    """Return the checks with another status than before, and those that are new.

    A problem that is gone is returned as a check that passes.
    """
    earlier = {_subject(check): check.status for check in before}
    found = [check for check in after if earlier.get(_subject(check)) != check.status]
    now = {_subject(check) for check in after}
    gone = [
        Check(check.code, Status.OK, f"no longer: {check.what}")
        for check in before
        if _subject(check) not in now and check.status is not Status.OK
    ]
    return [
        check
        for check in found
        if check.status is not Status.OK or (_subject(check) in earlier)
    ] + gone


def _subject(check: Check) -> tuple[str, str]:
    """Return what a check is about: its code, and the agent or flow that it names."""
    name = check.figures.get("agent") or check.figures.get("flow") or ""
    return check.code, str(name)
