"""The checks of `semloop health`: what is wrong now, and what to do about it.

They start, create and change nothing, import no heavy library and end within a second,
so that they can run every few seconds. `doctor` checks more, and takes longer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Result of a check, the least severe first."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing is wrong."""
    WARN = "warn"
    """It works, but will not for long, or works late."""
    FAIL = "fail"
    """It does not work, or events are refused."""


# Exit code by the gravest status.
EXIT_CODES = {Status.OK: 0, Status.NOTE: 0, Status.WARN: 2, Status.FAIL: 1}


@dataclass(frozen=True)
class Check:
    """One result: a stable code of `semloop.command.health.codes`, and its evidence.

    `figures` has the numbers and names of the text, for programs.
    """

    code: str
    status: Status
    what: str
    todo: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


def passed(code: str, what: str, **figures: Any) -> Check:
    """No problem found."""
    return Check(code, Status.OK, what, "", figures)


def failed(code: str, what: str, todo: str, **figures: Any) -> Check:
    """It does not work."""
    return Check(code, Status.FAIL, what, todo, figures)


def gravest(checks: Iterable[Check]) -> Status:
    """Return the most severe status; OK without checks."""
    order = list(Status)
    return max((check.status for check in checks), key=order.index, default=Status.OK)
