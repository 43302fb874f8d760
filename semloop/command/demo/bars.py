"""How far the demo is: bars on a terminal, a line for each quarter elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

QUARTERS = 4


class Shown(Protocol):
    """What shows how far the demo is."""

    def __call__(self, produced: int, committed: int, total: int) -> None:
        """Records that were sent, that are in the lake, and that there will be."""


@contextmanager
def bars() -> Iterator[Shown]:
    """Two bars on stderr while the block runs."""
    if not sys.stderr.isatty():
        yield _Lines().show
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:>9,.0f}"),
    )
    progress = Progress(*columns, console=Console(stderr=True))
    tasks = [progress.add_task(words) for words in ("produced", "in the lake")]
    with progress:

        def show(produced: int, committed: int, total: int) -> None:
            for task, done in zip(tasks, (produced, committed), strict=True):
                progress.update(task, completed=min(done, total), total=total)

        yield show


class _Lines:
    """A line whenever another quarter is in the lake."""

    def __init__(self) -> None:
        self._told = 0

    def show(self, produced: int, committed: int, total: int) -> None:
        quarter = QUARTERS * min(committed, total) // total
        if quarter > self._told:
            self._told = quarter
            line = f"produced {produced:,}, in the lake {committed:,} of {total:,}"
            print(line, file=sys.stderr, flush=True)
