"""Progress of the demo: bars on a terminal, otherwise a line per quarter."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from semloop.command.terminal.printing import console_of, note

QUARTERS = 4


class ShowProgress(Protocol):
    """A callback that displays progress."""

    def __call__(self, produced: int, committed: int, total: int) -> None:
        """Display the records sent, the records in the lake, and the total."""


@contextmanager
def bars() -> Iterator[ShowProgress]:
    """Show two bars on stderr during the block."""
    if not sys.stderr.isatty():
        yield _Lines().show
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:>9,.0f}"),
    )
    progress = Progress(*columns, console=console_of(sys.stderr))
    tasks = [progress.add_task(text) for text in ("produced", "in the lake")]
    with progress:

        def show(produced: int, committed: int, total: int) -> None:
            for task, done in zip(tasks, (produced, committed), strict=True):
                progress.update(task, completed=min(done, total), total=total)

        yield show


class _Lines:
    """Prints a line for each quarter that is in the lake."""

    def __init__(self) -> None:
        self._printed = 0

    def show(self, produced: int, committed: int, total: int) -> None:
        quarter = QUARTERS * min(committed, total) // total
        if quarter > self._printed:
            self._printed = quarter
            line = f"produced {produced:,}, in the lake {committed:,} of {total:,}"
            note(line)
