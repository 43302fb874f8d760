"""Parts of `memory` and `rebuild` that break one rule each."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from deltalake.transaction import AddAction

from semloop.delta.streams import Partition
from semloop.lake.generations import GENERATION
from sinks.delta.fenced_table import FencedTable
from sinks.delta.stored_generation import stored_generation
from sinks.episode_switch import EpisodeSwitch
from sinks.memory_tables import MemoryTables
from tests.sinks.wrapped_log import WrappedLog

COMMIT = MemoryTables.commit


def commit_episodes_first(tables: MemoryTables) -> None:
    """Commit the episodes of a buffer, and then merge its memories."""
    vectors: Any = tables._vectors
    merge = vectors.merge
    waiting: list[Any] = []
    vectors.merge = waiting.append
    try:
        COMMIT(tables)
    finally:
        vectors.merge = merge
    for rows in waiting:
        merge(rows)


class SwitchesBackwards(EpisodeSwitch):
    """Replaces the episodes, although `memory` has read more than they contain."""

    def __init__(self, storage: Any, episodes: FencedTable, *others: Any) -> None:
        super().__init__(storage, episodes, *others)
        offsets = {p: None for p in episodes.owned}
        episodes.stored = offsets.get  # type: ignore[method-assign, assignment]


class SwitchesUnfenced(EpisodeSwitch):
    """Stores the generation alone, and neither offsets nor fences."""

    def _numbers(
        self, offsets: Mapping[Partition, int], caught_up_ms: Mapping[Partition, int]
    ) -> dict[str, int]:
        return {GENERATION: self._generation}


class FirstGeneration:
    """Returns what a process read first, in place of the newest generation."""

    def __init__(self) -> None:
        self._read: dict[threading.Thread, int] = {}

    def __call__(self, episodes: FencedTable) -> int:
        found = stored_generation(episodes)
        return self._read.setdefault(threading.current_thread(), found)


class RowsLater(WrappedLog):
    """Commits offsets first, and then the rows that belong to them."""

    def commit(
        self, files: Sequence[AddAction], transactions: Mapping[str, int]
    ) -> None:
        super().commit((), transactions)
        if files:
            super().commit(files, {})
