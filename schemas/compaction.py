"""What the steps of the flow `compact` pass on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from schemas.batches import DataFile, Merge
from schemas.compression import Compression

# Each removed file is a line of the log entry, which every reader of the log parses.
FILES_MAX = 1_000
# A merged file is at most this large; one of at least half the size stays as it is.
TARGET_BYTES = 128 * 2**20
# Fewer small files are left alone while new ones arrive: rewriting costs more.
FILES_MIN = 10


@dataclass(frozen=True, slots=True)
class TableDate:
    """The files of one date of a table, or of one without dates, at one version.

    `closed`: the date is over, so that hardly any files are added. `cold`: how its
    files are to be compressed, if the date is old and some are not yet.
    """

    table: str
    version: int
    date: date | None
    files: tuple[DataFile, ...]
    closed: bool
    cold: Compression | None = None


@dataclass(frozen=True, slots=True)
class MergedFile:
    """A file that replaces those of a merge, not part of the table yet.

    `statistics`: as the Delta log stores them.
    """

    merge: Merge
    path: str
    size_bytes: int
    statistics: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Replacement:
    """Files of a table that other files replace in one log entry.

    `added` may be empty. `changes_data`: the others do not have all of their rows.
    `numbers`: app id -> int64 to store, unless a larger one is there.
    """

    table: str
    date: date | None
    removed: tuple[DataFile, ...]
    added: tuple[MergedFile, ...]
    changes_data: bool = False
    numbers: Mapping[str, int] = field(default_factory=dict)
