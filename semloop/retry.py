"""Retries a step that may fail temporarily."""

import time
from collections.abc import Callable
from typing import TypeVar

from semloop.errors import FileDamaged, Transient

R = TypeVar("R")
# Each pause is twice as long as the one before, up to the maximum.
WAIT_FIRST_S = 0.02
WAIT_MAX_S = 2.0
# Attempts that end at a damaged file, and seconds that it must stay damaged. Another
# process may have replaced the file after it was looked up, and once more after that; a
# network file system may show an old list of files for some seconds.
DAMAGED_ATTEMPTS = 3
DAMAGED_S = 5.0


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
        FileDamaged: `DAMAGED_ATTEMPTS` times, for `DAMAGED_S`.
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
    """Counts and times successive attempts that end at a damaged file."""

    def __init__(self) -> None:
        self._damaged = 0
        self._since_s = 0.0

    def __call__(self, error: Exception | None) -> bool:
        """Return True if another attempt makes sense.

        Args:
            error: of the last attempt; None if it succeeded.
        """
        if not isinstance(error, FileDamaged):
            self._damaged = 0
            return True
        now_s = time.monotonic()
        if not self._damaged:
            self._since_s = now_s
        self._damaged += 1
        is_short = now_s - self._since_s < DAMAGED_S
        return is_short or self._damaged < DAMAGED_ATTEMPTS
