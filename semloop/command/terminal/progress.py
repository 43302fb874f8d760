"""Progress display of commands on a terminal, and waiting for a condition."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from semloop.command.terminal.printing import console_of, note
from semloop.escaping import visible

# Interval between two checks of a condition.
POLL_S = 0.2

# Callback of long-running work: (step, done, total).
ProgressCallback = Callable[[str, int, int], None]


@contextmanager
def spinner(text: str) -> Iterator[Callable[[str], None]]:
    """ProgressCallback a spinner with a text on stderr, if it is a terminal.

    Yields:
        a function that changes the text.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.text import Text

    with console_of(sys.stderr).status(Text(visible(text))) as status:
        yield lambda new: status.update(Text(visible(new)))


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until a condition is true; return False after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


@contextmanager
def step_progress() -> Iterator[ProgressCallback]:
    """Show a progress bar per step on a terminal, otherwise print a line per step."""
    if not sys.stderr.isatty():
        yield _Lines().show
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:>9,.0f} of {task.total:,.0f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console_of(sys.stderr)) as progress:
        tasks: dict[str, int] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done, total=total)  # type: ignore[arg-type]

        yield show


class _Lines:
    """Prints a line when a step begins."""

    def __init__(self) -> None:
        self._step = ""

    def show(self, step: str, done: int, total: int) -> None:
        if step != self._step:
            self._step = step
            note(f"{step} ({total:,})")
