"""Retries a step that may fail temporarily."""

from collections.abc import Callable
from typing import TypeVar

from semloop.errors import Transient

R = TypeVar("R")
# Each pause is twice as long as the one before, up to the maximum.
WAIT_FIRST_S = 0.02
WAIT_MAX_S = 2.0


def retry(
    step: Callable[[], R],
    *,
    on: type[Transient],
    seconds: float,
    wait_max_s: float = WAIT_MAX_S,
) -> R:
    """Run a step until it succeeds, at least once.

    Args:
        step: the function to run.
        on: the error to retry after; any other error is raised immediately.
        seconds: how long to retry.
        wait_max_s: the longest pause between two attempts.

    Raises:
        Transient: of type `on`, with the text of the last error and the time spent.
    """
    import stamina

    caller = stamina.RetryingCaller(
        attempts=None,
        timeout=seconds,
        wait_initial=min(WAIT_FIRST_S, wait_max_s),
        wait_max=wait_max_s,
        wait_jitter=min(0.05, wait_max_s),
    )
    try:
        return caller(on, step)
    except on as error:
        msg = f"{error.what.removesuffix('.')} (tried for {seconds:g} s)"
        raise on(msg, error.todo) from error
