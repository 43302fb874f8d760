"""Keeps the memories of the current table in memory, within a bound."""

import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

from semloop.lake import generations
from semloop.lake.recall.filters import Every
from semloop.lake.recall.resident.memories import ResidentMemories
from semloop.lake.recall.resident.reading import read_all, with_added
from semloop.lake.recall.searches import MemoryTable
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from lancedb import DBConnection
    from lancedb.table import Table

# Recalls that use LanceDB before the memories are read: a process that recalls only
# once or twice does not pay for it.
RECALLS_BEFORE = 3
# After reading a table that took a second, the next time is this many seconds later: a
# table that is filled changes all the time.
PAUSE = 10
MIB = 2**20


class ResidentFollower:
    """Chooses what a recall searches: the memories in memory, or the table.

    They are read in the background, and follow the table: a recall that finds a new
    version of it adds the few new memories. After a compaction, and after a switch to
    another generation, all are read again; recalls use the table until then.

    Args:
        storage: the lake.
        threads: where memories are read.
        mb_max: bound of the memory, in MiB; 0: always the table.
    """

    def __init__(
        self, storage: Storage, threads: ThreadPoolExecutor, mb_max: int
    ) -> None:
        self._storage, self._threads = storage, threads
        self._bytes_max = mb_max * MIB
        self._lock = Lock()
        self._connection: DBConnection | None = None
        self._memories: ResidentMemories | None = None
        self._reading: Future[None] | None = None
        self._recalls = 0
        # Memories of this number, or more, exceed the bound, without columns of hits.
        self._too_many = sys.maxsize
        self._shown = True
        self._next_s = float("-inf")
        self._is_closed = False

    def close(self) -> None:
        """End reading in the background."""
        self._is_closed = True

    def wait(self) -> None:
        """Wait until nothing is read in the background any more."""
        if (reading := self._reading) is not None:
            reading.result()

    def followed(self, table: MemoryTable, version: int) -> ResidentMemories | None:
        """Return the memories of the newest version of a table, if they are in memory.

        A few new ones are added to those that are.
        """
        memories = self._memories
        if memories is not None and memories.is_of(table, version):
            return memories
        if not self._bytes_max:
            return None
        # Others use the table while one follows it.
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._followed(table, version)
        except (OSError, RuntimeError, ValueError):
            # What is wrong with the table, its own searches report.
            self._memories = None
            return None
        finally:
            self._lock.release()

    def _followed(self, table: MemoryTable, version: int) -> ResidentMemories | None:
        """Add the memories of a newer version; None if all must be read again."""
        known, self._memories = self._memories, None
        if known is not None and known.table is table and known.version < version:
            segments = with_added(self._pinned(table, version), known.segments)
            if segments is not None:
                self._keep(ResidentMemories(table, version, segments))
        if self._memories is None:
            self._read_soon(table, version)
        return self._memories

    def _read_soon(self, table: MemoryTable, version: int) -> None:
        self._recalls += 1
        is_reading = self._reading is not None and not self._reading.done()
        if is_reading or self._recalls < RECALLS_BEFORE:
            return
        rows = table.count(Every())
        if 0 < rows < self._too_many and time.monotonic() >= self._next_s:
            pinned = self._pinned(table, version)
            self._reading = self._threads.submit(
                self._read, table, version, pinned, rows
            )

    def _read(
        self, table: MemoryTable, version: int, pinned: "Table", rows: int
    ) -> None:
        begin_s = time.monotonic()
        try:
            while rows < self._too_many and not self._is_closed:
                segments = read_all(pinned, self._may_take, shown=self._shown)
                if segments is not None:
                    memories = ResidentMemories(table, version, segments)
                    with self._lock:
                        self._keep(memories)
                    return
                self._give_up(rows)
        except (OSError, RuntimeError, ValueError):
            # For example, the version was removed meanwhile.
            self._recalls = 0
        finally:
            now_s = time.monotonic()
            self._next_s = now_s + PAUSE * (now_s - begin_s)

    def _keep(self, memories: ResidentMemories) -> None:
        if memories.nbytes <= self._bytes_max:
            self._memories = memories
        else:
            self._give_up(len(memories))

    def _give_up(self, rows: int) -> None:
        """Read less from now on, because this many memories exceed the bound."""
        if self._shown:
            self._shown = False
        else:
            self._too_many = min(rows, self._too_many)

    def _may_take(self, nbytes: float) -> bool:
        return nbytes <= self._bytes_max and not self._is_closed

    def _pinned(self, table: MemoryTable, version: int) -> "Table":
        """Open the table at one version, while the other one follows the newest."""
        if self._connection is None:
            self._connection = generations.connect(self._storage)
        pinned = generations.open_table(self._connection, table.generation)
        if pinned is None:
            msg = "The table was dropped."
            raise ValueError(msg)
        pinned.checkout(version)
        return pinned
