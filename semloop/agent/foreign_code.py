"""Runs the code of values, such as `__repr__` and `model_dump`, which is not ours."""

import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class NestedError(Exception):
    """The code of a value emits an event that runs the code of a value."""


class _Running(threading.local):
    """Whether code of a value runs in this thread."""

    now = False


_running = _Running()


def alone(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that runs code of a value.

    Raises:
        NestedError: such code runs already in this thread. Without this limit, a
            `__repr__` that emits an event with its object twice would take time that
            doubles with each level.
    """
    if _running.now:
        raise NestedError
    _running.now = True
    try:
        return function(*args, **kwargs)
    finally:
        _running.now = False


def catches(error: BaseException) -> bool:
    """Return True if an error of such code is not to reach the caller.

    `sys.exit` and Ctrl-C may come from the host's signal handlers, at any moment.
    """
    return not isinstance(error, KeyboardInterrupt | SystemExit)
