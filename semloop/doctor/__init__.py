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
    "settings": "semloop.doctor.configured:check",
    "broker": "semloop.doctor.broker:check",
    "topic": "semloop.doctor.topic:check",
    "lake": "semloop.doctor.lake:check",
    "commits": "semloop.doctor.commits:check",
    "resume point": "semloop.doctor.resume:check",
    "lag": "semloop.doctor.lag:check",
    "memories": "semloop.doctor.remembered:check",
    "clock": "semloop.doctor.clock:check",
    "disk": "semloop.doctor.disk:check",
    "spool": "semloop.doctor.spooled:check",
    "packages": "semloop.doctor.packages:check",
    "model": "semloop.doctor.model:check",
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
