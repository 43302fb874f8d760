"""`semloop doctor`: tries what has to work, and says what to do where it does not."""

import json
import signal
import sys
from dataclasses import asdict

import typer

from semloop.command.cli.status import Form, StatusFormat
from semloop.command.doctor import CHECKS, Finding, State
from semloop.command.doctor.context import Known
from semloop.command.doctor.examination import Examination
from semloop.command.terminal.output import visible
from semloop.command.terminal.progress import waiting


def doctor(form: Form = StatusFormat.TABLE) -> None:
    """Try broker, topic, lake and packages; exit 0 if nothing fails.

    Nothing is changed: the files by which the lake is tried are removed again.
    """
    # However it is ended, what it tried the lake with is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    found: list[Finding] = []
    with Examination(Known()) as examination:
        for name in CHECKS:
            with waiting(f"Trying: {name} ..."):
                findings = examination.run(name)
            found += findings
            if form is StatusFormat.TABLE:
                for finding in findings:
                    _print(finding)
    sound = not any(finding.state is State.FAIL for finding in found)
    if form is StatusFormat.JSON:
        checks = [asdict(finding) for finding in found]
        print(json.dumps({"ok": sound, "checks": checks}, indent=2))
    else:
        print(_verdict(found), flush=True)
    if not sound:
        raise typer.Exit(1)


def _print(finding: Finding) -> None:
    # One line each, whatever a server or a path put into it.
    what, todo = (" ".join(text.split()) for text in (finding.found, finding.todo))
    print(f"{finding.state:<4}  {visible(f'{finding.check}: {what}')}", flush=True)
    if todo:
        print(f"      {visible(todo)}", flush=True)


def _verdict(found: list[Finding]) -> str:
    counts = {state: sum(f.state is state for f in found) for state in State}
    return ", ".join(f"{state} {count}" for state, count in counts.items())
