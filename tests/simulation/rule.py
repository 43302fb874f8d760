"""A rule of the protocol, and how a simulation breaks it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from semloop.delta.streams import Partition
from sinks.archive_tables import ArchiveTables
from sinks.delta.delta_log import DeltaLog

# (module or class, name of what is replaced, what replaces it)
Replaced = tuple[Any, str, Any]


@dataclass(frozen=True)
class Rule:
    """A rule, and how it is broken; the default breaks none.

    Attributes:
        text: what holds.
        wrap_log: replaces the log of a table.
        replaced: parts of the code, replaced while a schedule runs.
        after_take_over: called with the tables of a writer that has taken over.
        flow: whose schedules break it: those of `archive` or of `memory`.
        seed: the first schedule that notices; None: no schedule is known that does.
    """

    text: str = "all rules hold"
    wrap_log: Callable[[DeltaLog], DeltaLog] = lambda log: log
    replaced: tuple[Replaced, ...] = ()
    after_take_over: Callable[[ArchiveTables], None] = lambda tables: None
    flow: str = "archive"
    seed: int | None = None

    def take_over(self, tables: ArchiveTables) -> dict[Partition, int]:
        """Take over the tables of a writer."""
        positions = tables.take_over()
        self.after_take_over(tables)
        return positions

    @contextmanager
    def broken(self) -> Iterator[None]:
        """Break the rule in this block."""
        with ExitStack() as stack:
            for target, name, other in self.replaced:
                stack.enter_context(patch.object(target, name, other))
            yield


INTACT = Rule()
