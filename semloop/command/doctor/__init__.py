"""What `semloop doctor` tries, one file a subject; it leaves nothing behind.

A check is a function that yields findings. It changes nothing that a flow, a producer
or another reader could notice: no fence, no group, no topic, no record; what it writes
to try the lake it removes.
"""

from dataclasses import dataclass
from enum import StrEnum

# Name -> where its function is, in the order in which they run: later checks build on
# what earlier ones found.
CHECKS = {
    "settings": "semloop.command.doctor.settings:check",
    "broker": "semloop.command.doctor.broker:check",
    "topic": "semloop.command.doctor.topic:check",
    "lake": "semloop.command.doctor.lake:check",
    "commits": "semloop.command.doctor.commits:check",
    "resume point": "semloop.command.doctor.resume:check",
    "lag": "semloop.command.doctor.lag:check",
    "memories": "semloop.command.doctor.memories:check",
    "clock": "semloop.command.doctor.clock:check",
    "disk": "semloop.command.doctor.disk:check",
    "spool": "semloop.command.doctor.spool:check",
    "packages": "semloop.command.doctor.packages:check",
    "model": "semloop.command.doctor.model:check",
}


class State(StrEnum):
    """How something is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, and what to do unless it is ok."""

    check: str
    state: State
    found: str
    todo: str = ""


class Skipped(Exception):
    """A check that makes no sense here, or not before something else is put right."""

    def __init__(self, reason: str, todo: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.todo = todo


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, State.OK, found)


def warn(check: str, found: str, todo: str) -> Finding:
    """It works, and somebody should look at it."""
    return Finding(check, State.WARN, found, todo)


def fail(check: str, found: str, todo: str) -> Finding:
    """It does not work, or loses events."""
    return Finding(check, State.FAIL, found, todo)


def skip(check: str, reason: str, todo: str) -> Finding:
    """It could not be looked at."""
    return Finding(check, State.SKIP, reason, todo)
