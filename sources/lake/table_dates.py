"""The dates of the tables that compaction rewrites, with their files.

A table without dates is compacted as a whole, like a date that is never over.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from urllib.parse import quote

from schemas.batches import DataFile
from schemas.compaction import TableDate
from schemas.compression import Compression
from semloop import layout, tables
from semloop.delta.file_name import FileName
from semloop.delta.snapshot import FileStats, Snapshot, read_snapshot
from semloop.storage.location import Storage

# For files without statistics, which flows do not write.
UNKNOWN = datetime.min.replace(tzinfo=UTC)
# The smallest number of files of a date that can be worth a merge.
FILES_MIN = 2


@dataclass(frozen=True, slots=True)
class ColdDates:
    """Which dates are old: table -> days after their last moment; 0: never."""

    days: Mapping[str, float]
    compression: Compression

    def due(
        self, table: str, day: date, today: date, files: Sequence[DataFile]
    ) -> Compression | None:
        """Return how files of an old date are to be compressed; None if all are."""
        days = self.days.get(table, 0.0)
        if not 0 < days <= (today - day).days - 1:
            return None
        if all(f.name.is_cold for f in files):
            return None
        return self.compression_of(table)

    def compression_of(self, table: str) -> Compression:
        """Return how files of old dates of a table are compressed and stored."""
        if tables.TABLES[table].summed_by:  # Sums are rolled up, and read at any time.
            return replace(self.compression, storage_class="")
        return self.compression


def table_dates(
    storage: Storage,
    today: date,
    names: Sequence[str] = tables.COMPACTED_TABLES,
    cold: ColdDates | None = None,
) -> Iterator[TableDate]:
    """Yield the dates that may have to be rewritten, of the newest version of a table.

    These are the ones with more than one file, and old ones that are not compressed.

    Args:
        storage: the lake.
        today: dates before it are over, if a later one has files.
        names: the tables.
        cold: which dates are old; None: none.

    Raises:
        LakeError: a table cannot be read, or a newer program has changed it.
        StorageUnavailable: the storage is not available.
    """
    for name, snapshot in newest_versions(storage, names):
        if not tables.TABLES[name].partition_by:
            whole = tuple(_data_file(*file) for file in snapshot.files.items())
            if len(whole) >= FILES_MIN:
                yield TableDate(name, snapshot.version, None, whole, closed=False)
            continue
        # The current date first: its small files are those that slow down readers.
        files = sorted(by_date(snapshot).items(), key=lambda f: (f[0] != today, f[0]))
        newest = max((day for day, _ in files), default=today)
        for day, found in files:
            # NOTE: The clock here may be ahead of the writers': a date that grows would
            # be rewritten in every run.
            closed = day < min(today, newest)
            due = cold.due(name, day, today, found) if cold and closed else None
            if due or len(found) >= FILES_MIN:
                version = snapshot.version
                yield TableDate(name, version, day, tuple(found), closed, due)


def newest_versions(
    storage: Storage, names: Sequence[str]
) -> Iterator[tuple[str, Snapshot]]:
    """Yield the newest version of each table that exists, with its name.

    Raises:
        LakeError: a table cannot be read, or a newer program has changed it.
        StorageUnavailable: the storage is not available.
    """
    layout.check(storage)
    for name in names:
        snapshot = read_snapshot(storage, name)
        if snapshot is not None:
            layout.check_columns(name, snapshot.columns)
            yield name, snapshot


def by_date(snapshot: Snapshot) -> dict[date, list[DataFile]]:
    """Return the files of each date; those of other writers may have none."""
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
    try:
        return date.fromisoformat(value) if key == "date" else None
    except ValueError:  # the partition of rows without a date, by another writer
        return None
