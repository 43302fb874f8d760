"""What a command shows on a terminal while it waits; elsewhere it is silent."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# How often a condition is looked at again.
LOOK_S = 0.2


@contextmanager
def waiting(text: str) -> Iterator[Callable[[str], None]]:
    """A spinner with a text on stderr; gives a function that changes the text."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(text)) as status:
        yield lambda new: status.update(escape(new))


def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Look until a condition holds; False if it does not within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_S)
    return True
