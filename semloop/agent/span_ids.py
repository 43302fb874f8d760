"""Ids of tool calls, as OpenTelemetry writes the ids of spans."""

import itertools
import os
from collections.abc import Iterator

SPAN_ID_BYTES = 8
_MASK = 2 ** (8 * SPAN_ID_BYTES) - 1


def _numbers() -> Iterator[int]:
    """Count from a random number: faster than one system call for each id."""
    return itertools.count(int.from_bytes(os.urandom(SPAN_ID_BYTES)))


def _renew() -> None:
    global _next_number  # noqa: PLW0603 - a forked child must not repeat ids
    _next_number = _numbers().__next__


_next_number = _numbers().__next__
os.register_at_fork(after_in_child=_renew)


def new_span_id() -> str:
    """Return an id of 16 hexadecimal digits that no other process has."""
    return f"{_next_number() & _MASK or 1:016x}"
