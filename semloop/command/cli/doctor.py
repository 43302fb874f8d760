"""`semloop doctor`: checks everything SemLoop depends on, and suggests fixes."""

import json
import signal
import sys
from dataclasses import replace
from typing import Annotated

import typer

from semloop.command.cli.status import Form, StatusFormat
from semloop.command.doctor import CHECKS, Finding, State
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.fixes import fixed
from semloop.command.doctor.runner import CheckRunner
from semloop.command.terminal.printing import say
from semloop.command.terminal.progress import spinner


def doctor(
    form: Form = StatusFormat.TABLE,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Remove what was left over, where that is safe."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what --fix would do (the default)."),
    ] = False,
) -> None:
    """Check broker, topic, lake and packages, and find what crashes left over.

    Exits with 0 if no check fails. Without --fix it changes nothing: it
    removes the test files that it writes to the lake.
    """
    # As an exception, so that the test files are removed on SIGTERM as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    found: list[Finding] = []
    with CheckRunner(CheckContext()) as runner:
        for name in CHECKS:
            with spinner(f"Checking {name} ..."):
                findings = runner.run(name)
            for finding in findings:
                shown = form is StatusFormat.TABLE
                result = finding
                if fix and not dry_run and finding.fix:
                    # First, for the case that this process is killed meanwhile.
                    if shown:
                        print_finding(replace(finding, todo=""))
                    with spinner(f"Removing what {name} found ..."):
                        result = fixed(finding)
                found.append(result)
                if shown:
                    print_finding(result)
    passed = not any(finding.state is State.FAIL for finding in found)
    if form is StatusFormat.JSON:
        say(json.dumps({"ok": passed, "checks": [*map(_row, found)]}, indent=2))
    else:
        say(summary(found), flush=True)
    if not passed:
        raise typer.Exit(1)


def _row(finding: Finding) -> dict[str, str]:
    return {
        name: getattr(finding, name) for name in ("check", "state", "found", "todo")
    }


def print_finding(finding: Finding) -> None:
    """Print a finding, and what to do about it."""
    # One line each, even if a server message or a path contains line breaks.
    what, todo = (" ".join(text.split()) for text in (finding.found, finding.todo))
    say(f"{finding.state:<4}  {finding.check}: {what}", flush=True)
    if todo:
        say(f"      {todo}", flush=True)


def summary(found: list[Finding]) -> str:
    """Return how many findings there are of each state."""
    counts = {state: sum(f.state is state for f in found) for state in State}
    return ", ".join(
        f"{state} {count}"
        for state, count in counts.items()
        if count or state is not State.DONE
    )
