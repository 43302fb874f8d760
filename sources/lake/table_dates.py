"""The dates of the tables that compaction rewrites, with their files."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from urllib.parse import quote

from schemas.batches import DataFile
from schemas.compaction import TableDate
from semloop import tables
from semloop.delta.file_name import FileName
from semloop.delta.snapshot import FileStats, Snapshot, read_snapshot
from semloop.storage.location import Storage

# For files without statistics, which flows do not write.
UNKNOWN = datetime.min.replace(tzinfo=UTC)
# The smallest number of files of a date that can be worth a merge.
FILES_MIN = 2


def table_dates(
    storage: Storage, today: date, names: Sequence[str] = tables.COMPACTED_TABLES
) -> Iterator[TableDate]:
    """Yield the dates that have more than one file, of the newest version of a table.

    Args:
        storage: the lake.
        today: dates before it are over.
        names: the tables.

    Raises:
        LakeError: a table cannot be read.
        StorageUnavailable: the storage is not available.
    """
    for name in names:
        snapshot = read_snapshot(storage, name)
        files = _by_date(snapshot) if snapshot is not None else {}
        for day, found in sorted(files.items()):
            if snapshot is not None and len(found) >= FILES_MIN:
                yield TableDate(
                    name, snapshot.version, day, tuple(found), closed=day < today
                )


def _by_date(snapshot: Snapshot) -> dict[date, list[DataFile]]:
    found: dict[date, list[DataFile]] = {}
    for path, file in snapshot.files.items():
        day = _date_of(path)
        # Other writers may use names that the log escapes.
        if day is not None and quote(path, safe="/=") == path:
            found.setdefault(day, []).append(_data_file(path, file))
    return found


def _data_file(path: str, file: FileStats) -> DataFile:
    name = FileName.of(path)
    return DataFile(path, file.size_bytes, name, file.ingested_at or UNKNOWN)


def _date_of(path: str) -> date | None:
    """Return the partition of a file; None for a file without one."""
    folder, _, _ = path.partition("/")
    key, _, value = folder.partition("=")
    return date.fromisoformat(value) if key == "date" else None
