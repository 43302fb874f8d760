"""What a command shows on a terminal while it waits; elsewhere it is silent."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# How often a condition is looked at again.
LOOK_S = 0.2

# Told (step, done, total) of long work.
ProgressCallback = Callable[[str, int, int], None]


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


@contextmanager
def steps() -> Iterator[ProgressCallback]:
    """A bar for each step on a terminal, a line for each step elsewhere."""
    if not sys.stderr.isatty():
        yield _Lines().show
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:>9,.0f} of {task.total:,.0f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, int] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done, total=total)  # type: ignore[arg-type]

        yield show


class _Lines:
    """A line when a step begins."""

    def __init__(self) -> None:
        self._step = ""

    def show(self, step: str, done: int, total: int) -> None:
        if step != self._step:
            self._step = step
            print(f"{step} ({total:,})", file=sys.stderr, flush=True)
