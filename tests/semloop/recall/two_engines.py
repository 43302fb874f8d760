"""Asks both engines of recall, the one in memory and LanceDB, and compares."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from semloop.lake.recall.engine import RecallEngine
from semloop.lake.recall.request import RecallRequest
from semloop.lake.recall.resident.follower import RECALLS_BEFORE
from semloop.lake.recall.resident.memories import ResidentMemories
from semloop.settings import Settings


def ask(engine: RecallEngine, query: str, **arguments: Any) -> pa.Table:
    """Recall with the defaults of `Lake.recall`."""
    given = {"query": query, "k": 10} | arguments
    return engine.recall(RecallRequest.of(given, datetime.now(UTC)))


class TwoEngines:
    """One lake, recalled in memory and from storage.

    Attributes:
        resident: holds memories in memory.
        stored: never does.
    """

    def __init__(self, settings: Settings, mb: int = 64) -> None:
        self.resident = RecallEngine(settings.replace(recall_memory_mb=mb), 0)
        self.stored = RecallEngine(settings.replace(recall_memory_mb=0), 0)

    def read(self) -> None:
        """Recall until the memories are in memory, if they fit."""
        for _ in range(RECALLS_BEFORE):
            ask(self.resident, "anything")
        self.resident.resident.wait()

    def in_memory(self) -> ResidentMemories | None:
        """Return what is in memory for the newest version of the table."""
        opened = self.resident.opened()
        assert opened is not None
        return self.resident.resident.followed(opened[1], opened[1].version)

    def same(self, query: str, **arguments: Any) -> pa.Table:
        """Return the answer of both engines, which is in memory for one of them."""
        assert self.in_memory() is not None
        found = ask(self.resident, query, **arguments)
        assert found.equals(ask(self.stored, query, **arguments))
        assert self.in_memory() is not None
        return found


@contextmanager
def two_engines(settings: Settings, mb: int = 64) -> Iterator[TwoEngines]:
    """Open both engines; the memories are in memory if they fit."""
    engines = TwoEngines(settings, mb)
    try:
        engines.read()
        yield engines
    finally:
        engines.resident.close()
        engines.stored.close()
