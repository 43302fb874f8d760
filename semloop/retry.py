"""Repeats a step whose failure may pass."""

from collections.abc import Callable
from typing import TypeVar

from semloop.errors import Transient

R = TypeVar("R")
# The first pause; each one after it is twice as long, up to the longest.
WAIT_FIRST_S = 0.02
WAIT_MAX_S = 2.0


def retry(
    step: Callable[[], R],
    *,
    on: type[Transient],
    seconds: float,
    wait_max_s: float = WAIT_MAX_S,
) -> R:
    """Run a step until it succeeds, once at least.

    Args:
        step: what is run.
        on: the error after which the step is run again; any other is raised at once.
        seconds: how long to try.
        wait_max_s: the longest pause between two tries.

    Raises:
        Transient: an `on` with the text of the step's last error, and how long was
            tried.
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
