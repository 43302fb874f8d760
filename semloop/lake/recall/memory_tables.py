"""Opens the LanceDB table that a recall searches."""

from threading import Lock
from typing import TYPE_CHECKING

from semloop.lake import generations
from semloop.lake.recall.searches import MemoryTable
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from lancedb import DBConnection


class MemoryTables:
    """Opens the table of the current generation.

    Args:
        storage: the lake.
        stale_s: maximum age, in seconds, of the version that is searched; each check
            for a new version is a request to the storage.
    """

    def __init__(self, storage: Storage, stale_s: float) -> None:
        self._storage, self._stale_s = storage, stale_s
        self._connection: DBConnection | None = None
        self._table: MemoryTable | None = None
        self._lock = Lock()

    def open(self, generation: int) -> MemoryTable | None:
        """Return the table of a generation; None if it does not exist yet.

        Raises:
            OSError, RuntimeError: it cannot be read.
        """
        with self._lock:
            if self._table is None or self._table.generation != generation:
                if self._connection is None:
                    self._connection = generations.connect(self._storage, self._stale_s)
                table = generations.open_table(self._connection, generation)
                # A table without rows is false.
                self._table = None if table is None else MemoryTable(table, generation)
            return self._table

    def expire(self) -> None:
        """Search the newest version from now on, however young the last one is."""
        with self._lock:
            self._table = None
