"""New ids of events, sessions and tool calls, without a system call for each.

`os.urandom` gives up the interpreter's lock: next to a thread that computes, each id
would take milliseconds. So ids count from random numbers that each process has. The
time is in those of events, too: a virtual machine that was copied, or a child that C
code forked, continues with the same numbers.
"""

import itertools
import os
import time
from collections.abc import Callable

_WORD = 2**64 - 1


class _Numbers:
    """The numbers that the ids of this process are made of."""

    __slots__ = ("count", "prefix")

    def __init__(self) -> None:
        self.prefix = int.from_bytes(os.urandom(8))
        self.count: Callable[[], int] = itertools.count(
            int.from_bytes(os.urandom(8))
        ).__next__


_numbers = _Numbers()
# A forked child must not repeat ids.
os.register_at_fork(after_in_child=_numbers.__init__)  # type: ignore[misc]


def new_id() -> str:
    """Return a UUID, version 4, that no other process has."""
    low = _numbers.count() & _WORD
    digits = f"{_numbers.prefix ^ time.time_ns() & _WORD:016x}{low:016x}"
    variant = "89ab"[low >> 62]
    return (
        f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-"
        f"{variant}{digits[17:20]}-{digits[20:]}"
    )


def new_span_id() -> str:
    """Return an id of 16 hexadecimal digits, as OpenTelemetry writes ids of spans."""
    return f"{_numbers.count() & _WORD or 1:016x}"
