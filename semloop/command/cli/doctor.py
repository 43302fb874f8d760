"""`semloop doctor`: checks everything SemLoop depends on, and suggests fixes."""

import json
import signal
import sys
from dataclasses import asdict

import typer

from semloop.command.cli.status import Form, StatusFormat
from semloop.command.doctor import CHECKS, Finding, State
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.runner import CheckRunner
from semloop.command.terminal.printing import say
from semloop.command.terminal.progress import spinner


def doctor(form: Form = StatusFormat.TABLE) -> None:
    """Check broker, topic, lake and packages; exit with 0 if no check fails.

    Changes nothing: test files that it writes to the lake are removed again.
    """
    # As an exception, so that the test files are removed on SIGTERM as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    found: list[Finding] = []
    with CheckRunner(CheckContext()) as runner:
        for name in CHECKS:
            with spinner(f"Checking {name} ..."):
                findings = runner.run(name)
            found += findings
            if form is StatusFormat.TABLE:
                for finding in findings:
                    _print(finding)
    passed = not any(finding.state is State.FAIL for finding in found)
    if form is StatusFormat.JSON:
        checks = [asdict(finding) for finding in found]
        say(json.dumps({"ok": passed, "checks": checks}, indent=2))
    else:
        say(_summary(found), flush=True)
    if not passed:
        raise typer.Exit(1)


def _print(finding: Finding) -> None:
    # One line each, even if a server message or a path contains line breaks.
    what, todo = (" ".join(text.split()) for text in (finding.found, finding.todo))
    say(f"{finding.state:<4}  {finding.check}: {what}", flush=True)
    if todo:
        say(f"      {todo}", flush=True)


def _summary(found: list[Finding]) -> str:
    counts = {state: sum(f.state is state for f in found) for state in State}
    return ", ".join(f"{state} {count}" for state, count in counts.items())
