"""Names of data files: where the rows stand in the order of commits.

A log entry has the order only until the log is cleaned up, and clocks may be wrong. So
a flow's file has a version in its name, one more than the version on which the writer's
commit is based. For the rows of one partition these numbers grow with every commit:
its owner has read its own last commit, and a new owner that of the one before.
"""

import re
import uuid
from dataclasses import dataclass

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PART = re.compile(rf"(?:.*/)?part-(\d+)-{_UUID}\.zstd\.parquet")
_COMPACTED = re.compile(
    rf"(?:.*/)?compacted-(\d+)-(-?\d+)-(\d+)-{_UUID}\.zstd\.parquet"
)
# For files of an earlier version and of other programs, whose names have no number.
UNNUMBERED = -1
# Number of files that an upgrade made of these. A table is created by version 0, so no
# file of a flow has it.
BEFORE_ALL = 0
# Level of a file with too many wide rows for a merge with others; the same holds.
WIDE_LEVEL = 50
# Level of a file of an old date that was compressed hard. Merges of levels end long
# before it, and what replaces the file has a higher one.
COLD_LEVEL = 100


@dataclass(frozen=True, slots=True)
class FileName:
    """What the name of a data file tells.

    Attributes:
        level: how often the rows were compacted; 0 for a file of a flow.
        first: smallest number of the commits whose rows are in the file.
        complete_at: version of the table that has all rows of a compacted file, in this
            file or in those that it replaces; None for a file of a flow.
    """

    level: int = 0
    first: int = UNNUMBERED
    complete_at: int | None = None

    @property
    def is_whole(self) -> bool:
        """True for a file that is not merged with others any more."""
        return self.level >= WIDE_LEVEL

    @property
    def is_cold(self) -> bool:
        """True for a file that was compressed hard."""
        return self.level >= COLD_LEVEL

    @classmethod
    def of(cls, path: str) -> "FileName":
        """Read the name of a file, by its path in the table."""
        if match := _PART.fullmatch(path):
            return cls(first=int(match[1]))
        if match := _COMPACTED.fullmatch(path):
            return cls(*map(int, match.groups()))
        return cls()

    def new(self) -> str:
        """Return the name of a new file; no other file has it."""
        if self.complete_at is None:
            return f"part-{self.first}-{uuid.uuid4()}.zstd.parquet"
        numbers = f"{self.level}-{self.first}-{self.complete_at}"
        return f"compacted-{numbers}-{uuid.uuid4()}.zstd.parquet"
