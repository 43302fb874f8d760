"""`semloop maintain check`: is the lake complete, for example after it was copied?"""

import importlib

import typer

from semloop import layout
from semloop.command.cli.doctor import print_finding, summary
from semloop.command.doctor import Finding, State, fail
from semloop.command.doctor.completeness import CHECKS
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.printing import say
from semloop.command.terminal.progress import spinner
from semloop.errors import SemLoopError
from semloop.settings import load
from semloop.storage.errors import CHECK_FILES
from semloop.storage.location import Storage


def check() -> None:
    """Say which files, rows or keys a lake lacks, for example after it was copied."""
    settings = load()
    storage = Storage.of(settings)
    layout.require_stored_lake(storage)
    context = CheckContext(settings=settings, storage=storage)
    found: list[Finding] = []
    for name in CHECKS:
        with spinner(f"Checking {name} ..."):
            findings = _run(name, context)
        found += findings
        for finding in findings:
            print_finding(finding)
    say(summary(found))
    if any(finding.state is State.FAIL for finding in found):
        raise typer.Exit(1)


def _run(name: str, context: CheckContext) -> list[Finding]:
    """Run one check; an error is a finding, since other tables may be whole."""
    module, _, function = CHECKS[name].partition(":")
    try:
        return list(getattr(importlib.import_module(module), function)(context))
    except SemLoopError as error:
        # The check `tables`, which comes before, lists the files.
        again = "Do what the lines above say, then check again."
        todo = again if error.todo == CHECK_FILES else error.todo
        return [fail(name, f"not checked: {error.what}", todo)]
