"""One version of a Delta table: its transactions and its files with statistics."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from semloop.delta.file_name import UNNUMBERED, FileName
from semloop.delta.log_entry import entry_name
from semloop.delta.streams import Partition
from semloop.storage.errors import storage_errors

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa
    from deltalake import DeltaTable

    from semloop.storage.location import Storage

# A reader that is further behind reads everything again instead of the log.
ENTRIES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class FileStats:
    """Statistics of a file from the log; None where the log has none.

    `topic_ids`, `partitions`: smallest and largest value. `last_offset`: largest
    `kafka_offset`. `ingested_at`: the newest row's.
    """

    rows: int | None
    size_bytes: int
    topic_ids: tuple[str, str] | None
    partitions: tuple[int, int] | None
    last_offset: int | None
    ingested_at: "datetime | None"

    def may_contain(self, partition: Partition, beyond: int) -> bool:
        """Return True if the file may have rows of a partition beyond an offset."""
        return (
            (self.last_offset is None or self.last_offset > beyond)
            and (self.partitions is None or _within(partition.number, self.partitions))
            and (self.topic_ids is None or _within(partition.topic_id, self.topic_ids))
        )


@dataclass(frozen=True)
class Snapshot:
    """One version of a table, unaffected by later commits.

    `table_id` changes if the table is deleted and created again in the same folder.
    `transactions`: app id -> int64, for the requested app ids.
    """

    table: str
    table_id: str
    version: int
    columns: tuple[str, ...]
    transactions: Mapping[str, int]
    _actions: "pa.Table" = field(repr=False, compare=False)

    @classmethod
    def of(
        cls,
        table: str,
        handle: "DeltaTable",
        transactions: Mapping[str, int] | None = None,
    ) -> "Snapshot":
        """Return the version that a handle has loaded.

        Raises:
            DeltaError, OSError: the log cannot be read.
        """
        import pyarrow as pa

        actions = pa.table(handle.get_add_actions(flatten=True))
        table_id = str(handle.metadata().id)
        columns = tuple(field.name for field in handle.schema().fields)
        stored = transactions or {}
        return cls(table, table_id, handle.version(), columns, stored, actions)

    @cached_property
    def files(self) -> Mapping[str, FileStats]:
        """Statistics of the files, by path relative to the table."""
        columns = zip(
            self._column("num_records"),
            self._column("size_bytes"),
            self._bounds("topic_id"),
            self._bounds("kafka_partition"),
            self._column("max.kafka_offset"),
            self._column("max.ingested_at"),
            strict=True,
        )
        # The log URL-escapes paths; DuckDB and file openers do not unescape them.
        paths = map(unquote, self._column("path"))
        return {
            path: FileStats(*stats) for path, stats in zip(paths, columns, strict=True)
        }

    def bounds(self, column: str) -> "Mapping[str, tuple[Any, Any] | None]":
        """Return the smallest and largest value of a column by path; None: unknown."""
        paths = map(unquote, self._column("path"))
        return dict(zip(paths, self._bounds(column), strict=True))

    @property
    def row_count(self) -> int | None:
        """Rows of all files; None if the log has no count for one of them."""
        counts = [file.rows for file in self.files.values()]
        return None if None in counts else sum(n for n in counts if n is not None)

    def uris(self, storage: "Storage", paths: Iterable[str] | None = None) -> list[str]:
        """Return the full paths or URLs of the given files, by default of all."""
        root = storage.uri(self.table)
        return [f"{root}/{path}" for path in (self.files if paths is None else paths)]

    def _column(self, name: str) -> list[Any]:
        if name in self._actions.column_names:
            values: list[Any] = self._actions[name].to_pylist()
            return values
        return [None] * self._actions.num_rows

    def _bounds(self, name: str) -> Iterator[tuple[Any, Any] | None]:
        columns = self._column(f"min.{name}"), self._column(f"max.{name}")
        for ends in zip(*columns, strict=True):
            yield None if None in ends else ends


def new_files(
    storage: "Storage", before: Snapshot | None, now: Snapshot
) -> list[str] | None:
    """Return the files whose rows a reader of an earlier version has not read.

    Files that compaction made of rows of the earlier version are left out. One that
    also has newer rows is returned, so a reader may get rows again.

    Args:
        storage: the lake.
        before: the version that was read; None if none was.
        now: a later version.

    Returns:
        Paths; None if rows of the earlier version may have been removed or changed,
        so that everything must be read again.

    Raises:
        LakeError, StorageUnavailable: the log cannot be read.
    """
    if before is None or before.table_id != now.table_id:
        return None
    names = {path: FileName.of(path) for path in now.files.keys() - before.files.keys()}
    if not before.files.keys() <= now.files.keys() and (
        # Another program may have rewritten the files.
        any(n.first == UNNUMBERED and n.complete_at is None for n in names.values())
        or _rows_removed(storage, before, now)
    ):
        return None
    complete = {p: n.complete_at for p, n in names.items() if n.complete_at is not None}
    read_before = {p for p, version in complete.items() if version <= before.version}
    return sorted(names.keys() - read_before)


def _rows_removed(storage: "Storage", before: Snapshot, now: Snapshot) -> bool:
    """Return True unless the log shows that files were only rewritten."""
    versions = range(before.version + 1, now.version + 1)
    if len(versions) > ENTRIES_MAX:
        return True
    for version in versions:
        entry = storage.read(entry_name(now.table, version))
        if entry is None:  # the log was cleaned up
            return True
        for line in entry.splitlines():
            removed = json.loads(line).get("remove") if b'"remove"' in line else None
            if removed and removed.get("dataChange", True):
                return True
    return False


def read_snapshot(
    storage: "Storage", table: str, app_ids: Iterable[str] = ()
) -> Snapshot | None:
    """Read the newest version of a table; None if the table does not exist.

    Args:
        storage: the lake.
        table: folder of the table in the lake.
        app_ids: transactions to include in the snapshot.

    Raises:
        LakeError: the table cannot be read.
        StorageUnavailable: the storage is not available.
    """
    with storage_errors(storage, f"read table {table}"):
        if not storage.has(table):
            return None
        handle = storage.open(table)
        return Snapshot.of(table, handle, stored_transactions(handle, app_ids))


def stored_transactions(handle: "DeltaTable", app_ids: Iterable[str]) -> dict[str, int]:
    """Return the int64 that the handle's version stores under each app id, if any."""
    stored = {app_id: handle.transaction_version(app_id) for app_id in app_ids}
    return {app_id: number for app_id, number in stored.items() if number is not None}


def _within(value: Any, bounds: tuple[Any, Any]) -> bool:
    low, high = bounds
    return bool(low <= value <= high)
