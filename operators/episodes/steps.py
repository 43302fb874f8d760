"""What an episode tried, in order: its steps, bounded, as JSON.

Kept in the episode's row, so that the text of its memory is made without reading its
events again. The JSON is an array of steps; where steps are left out in the middle
stands `{"left_out": count}`.
"""

from collections import deque
from collections.abc import Iterable
from typing import Self

import msgspec

# How an episode began and how it ended tell more than its middle.
FIRST_STEPS = 40
LAST_STEPS = 40
# As long as the name of an agent may be.
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
        """Go on with what `json` gave."""
        steps = steps_of(text)
        log = cls(step for step in steps if not step.left_out)
        log.left_out = sum(step.left_out for step in steps)
        return log

    def add(self, step: Step) -> None:
        """Append a step; one in the middle may fall out for it."""
        if len(self._first) < FIRST_STEPS:
            self._first.append(step)
            return
        if len(self._last) == LAST_STEPS:
            self._last.popleft()
            self.left_out += 1
        self._last.append(step)

    def json(self) -> str:
        """The steps as they are stored."""
        gap = [Step(left_out=self.left_out)] if self.left_out else []
        return _encode([*self._first, *gap, *self._last]).decode()


def steps_of(text: str) -> list[Step]:
    """The steps of a log as it is stored, and the one that says what is left out."""
    return _decode(text)


def cut(name: str | None) -> str | None:
    """A name of bounded length: agents may call anything anything."""
    return name[:NAME_CHARS_MAX] if name else name
