"""The log of an episode's steps, in order, bounded, as JSON.

It is stored in the episode's row, so that the text of its memory is generated without
re-reading events. The JSON is an array of steps; `{"left_out": count}` replaces steps
that are omitted in the middle.
"""

from collections import deque
from collections.abc import Iterable
from typing import Self

import msgspec

# The first and last steps are more informative than those in the middle.
FIRST_STEPS = 40
LAST_STEPS = 40
# Same bound as for the name of an agent.
NAME_CHARS_MAX = 200


class Step(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A tool call (`tool`, `status`), a change of state, or an error (`error_type`)."""

    tool: str | None = None
    status: str | None = None
    state: str | None = None
    error_type: str | None = None
    left_out: int = 0


_decode = msgspec.json.Decoder(list[Step]).decode
_encode = msgspec.json.Encoder().encode


class StepLog:
    """The first and the last steps of an episode."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self.left_out = 0
        self._first: list[Step] = []
        self._last: deque[Step] = deque()
        for step in steps:
            self.add(step)

    @classmethod
    def of(cls, text: str) -> Self:
        """Restore a log from the result of `json`."""
        steps = steps_of(text)
        log = cls(step for step in steps if not step.left_out)
        log.left_out = sum(step.left_out for step in steps)
        return log

    def add(self, step: Step) -> None:
        """Append a step; if the log is full, omit one in the middle."""
        if len(self._first) < FIRST_STEPS:
            self._first.append(step)
            return
        if len(self._last) == LAST_STEPS:
            self._last.popleft()
            self.left_out += 1
        self._last.append(step)

    def json(self) -> str:
        """Return the steps as JSON."""
        gap = [Step(left_out=self.left_out)] if self.left_out else []
        return _encode([*self._first, *gap, *self._last]).decode()


def steps_of(text: str) -> list[Step]:
    """Return the steps of a stored log, including the one that counts omitted ones."""
    return _decode(text)


def truncate(name: str | None) -> str | None:
    """Truncate a name, since agents may send names of any length."""
    return name[:NAME_CHARS_MAX] if name else name
