"""Retries a step that may fail temporarily."""

from collections.abc import Callable
from typing import TypeVar

from semloop.errors import FileDamaged, Transient

R = TypeVar("R")
# Each pause is twice as long as the one before, up to the maximum.
WAIT_FIRST_S = 0.02
WAIT_MAX_S = 2.0
# Attempts that end at a damaged file. Another process may have replaced the file after
# it was looked up, and once more after the next look; a file that is still missing then
# stays so.
DAMAGED_ATTEMPTS = 3


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
        FileDamaged: `DAMAGED_ATTEMPTS` times.
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
    patience = DamagePatience()
    try:
        return caller(lambda error: isinstance(error, on) and patience(error), step)
    except FileDamaged:
        raise
    except on as error:
        msg = f"{error.what.removesuffix('.')} (tried for {seconds:g} s)"
        raise on(msg, error.todo) from error


class DamagePatience:
    """Counts successive attempts that end at a damaged file."""

    def __init__(self) -> None:
        self._damaged = 0

    def __call__(self, error: Exception | None) -> bool:
        """Return True if another attempt makes sense.

        Args:
            error: of the last attempt; None if it succeeded.
        """
        self._damaged = self._damaged + 1 if isinstance(error, FileDamaged) else 0
        return self._damaged < DAMAGED_ATTEMPTS
