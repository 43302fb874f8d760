"""The checks of `semloop doctor`, one file per subject; they leave nothing behind.

`leftovers/` finds what others left, and `fixes.py` removes it if the user says so.

A check is a function that yields findings. It changes nothing that a flow, a producer
or another reader could notice: no fence, group, topic or record. It removes the files
that it writes to test the lake.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

# Name -> location of the function, in the order in which the checks run: later checks
# build on the results of earlier ones.
CHECKS = {
    "settings": "semloop.command.doctor.settings:check",
    "broker": "semloop.command.doctor.broker:check",
    "topic": "semloop.command.doctor.topic:check",
    "published topics": "semloop.command.doctor.published:check",
    "lake": "semloop.command.doctor.lake:check",
    "redaction key": "semloop.command.doctor.redaction_key:check",
    "commits": "semloop.command.doctor.commits:check",
    "resume point": "semloop.command.doctor.resume:check",
    "lag": "semloop.command.doctor.lag:check",
    "agents": "semloop.command.doctor.agents:check",
    "memories": "semloop.command.doctor.memories:check",
    "clock": "semloop.command.doctor.clock:check",
    "disk": "semloop.command.doctor.disk:check",
    "spool": "semloop.command.doctor.spool:check",
    "session files": "semloop.command.doctor.session_files:check",
    "stack": "semloop.command.doctor.leftovers.stack:check",
    "generations": "semloop.command.doctor.leftovers.generations:check",
    "files": "semloop.command.doctor.leftovers.files:check",
    "activity": "semloop.command.doctor.leftovers.activity:check",
    "packages": "semloop.command.doctor.packages:check",
    "model": "semloop.command.doctor.model:check",
}


class State(StrEnum):
    """Result of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"
    DONE = "done"
    """`--fix` has removed what the check found."""


Fix = Callable[[], str]
"""Returns what it has done, or why it did nothing.

It may be killed, and repeated, at any moment, and looks again whether what it removes
is still left over.
"""
RUN_FIX = "`semloop doctor --fix`"
REPORT = "Report this line and the output of `semloop --version` as a bug."


@dataclass(frozen=True)
class Finding:
    """One result of a check, with what to do about it unless it is ok.

    `fix` does it, if that is safe.
    """

    check: str
    state: State
    found: str
    todo: str = ""
    fix: Fix | None = field(default=None, compare=False)


class Skipped(Exception):
    """The check does not apply, or depends on a check that failed."""

    def __init__(self, reason: str, todo: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.todo = todo


def ok(check: str, found: str) -> Finding:
    """No problem found."""
    return Finding(check, State.OK, found)


def warn(check: str, found: str, todo: str) -> Finding:
    """It works, but needs attention."""
    return Finding(check, State.WARN, found, todo)


def left(check: str, found: str, fix: Fix, does: str) -> Finding:
    """Something was left over that `doctor --fix` removes safely.

    Args:
        check: name of the check.
        found: what was left over.
        fix: removes it.
        does: what `fix` does, as the rest of a sentence: "removes them".
    """
    return Finding(check, State.WARN, found, f"{RUN_FIX} {does}.", fix)


def fail(check: str, found: str, todo: str) -> Finding:
    """It does not work, or loses events."""
    return Finding(check, State.FAIL, found, todo)


def skip(check: str, reason: str, todo: str) -> Finding:
    """It could not be checked."""
    return Finding(check, State.SKIP, reason, todo)
