"""Runs `doctor --fix` for single checks, and compares a folder before and after."""

import os
import time
from pathlib import Path

from semloop.command.doctor import Finding, State
from semloop.command.doctor.fixes import fixed
from semloop.command.doctor.leftovers import SAFE_S
from semloop.settings import Settings
from tests.doctor.run_checks import findings_of, problems


def left_over(settings: Settings, check: str, *before: str) -> Finding | None:
    """Return what a check finds that `--fix` would remove; None if nothing."""
    found = [f for f in problems(findings_of(settings, *before, check)) if f.fix]
    assert len(found) <= 1
    return found[0] if found else None


def fix_all(settings: Settings, check: str, *before: str) -> list[str]:
    """Run the check and its fixes, as `doctor --fix` does; return what was done."""
    results = [fixed(f) for f in findings_of(settings, *before, check)]
    return [result.found for result in results if result.state is State.DONE]


def age(*paths: Path) -> None:
    """Make files look older than what may be removed."""
    then_s = time.time() - SAFE_S - 3_600
    for path in paths:
        os.utime(path, (then_s, then_s))


def tree(folder: Path) -> set[Path]:
    """Return all files below a folder."""
    return {path for path in folder.rglob("*") if path.is_file()}
