"""The memories of one version of the table, in memory."""

from dataclasses import dataclass

import numpy as np

from semloop.lake.recall.resident.segment import Segment
from semloop.lake.recall.searches import MemoryTable


@dataclass(frozen=True, slots=True, eq=False)
class ResidentMemories:
    """All memories of one version of the table; immutable, so that threads share it.

    Attributes:
        table: the same memories in LanceDB.
        version: the version of the table.
        segments: its memories, in the order of their row ids.
    """

    table: MemoryTable
    version: int
    segments: tuple[Segment, ...]

    def __len__(self) -> int:
        """Return the number of memories."""
        return sum(int(np.count_nonzero(part.alive)) for part in self.segments)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(part.nbytes for part in self.segments)

    @property
    def has_shown(self) -> bool:
        """True if the columns of hits are in memory, too."""
        return all(part.has_shown for part in self.segments)

    def is_of(self, table: MemoryTable, version: int) -> bool:
        """Return whether these are the memories of a version of a table."""
        return self.table is table and self.version == version
