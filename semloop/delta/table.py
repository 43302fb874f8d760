"""Follows a Delta table: its newest version, and what that says of its files."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from semloop import layout
from semloop.delta.log_entry import entry_name, transactions
from semloop.delta.streams import Partition
from semloop.storage.location import Storage

# A handle slows down with each commit it follows, and does not notice that the lake was
# deleted and made again.
REOPEN_S = 30.0
# Log entries that are read one by one to follow the numbers; beyond so many the library
# reads all of them at once.
ENTRIES_MAX = 50
# pyarrow says `ArrowInvalid` of a Parquet file that ends too early.
READ_ERRORS = (DeltaError, OSError, pa.ArrowInvalid)

OpenFile = Callable[[str], pa.NativeFile]


class FollowedTable:
    """The newest version of one table, by a handle that moves on with it."""

    def __init__(self, storage: Storage, name: str) -> None:
        self.name = name
        # Whether the last `newest` opened it: it may be another table of that name.
        self.opened = False
        self._storage = storage
        self._open = storage.opener()
        self._handle: DeltaTable | None = None
        self._opened_s = 0.0

    def newest(self) -> DeltaTable:
        """The table as it is now.

        While nothing is committed two files are looked for: the library would list the
        log, which holds every commit of the last hours.

        Raises:
            READ_ERRORS, LakeError: it cannot be read, or has another layout.
        """
        # After an error it is opened anew.
        handle, self._handle = self._handle, None
        recent = time.monotonic() - self._opened_s <= REOPEN_S
        if handle is not None and recent and self._follows(handle):
            self.opened = False
        else:
            layout.check(self._storage)
            handle = self._storage.open(self.name)
            self.opened, self._opened_s = True, time.monotonic()
        self._handle = handle
        return handle

    def forget(self) -> None:
        """Open it anew next time."""
        self._handle = None

    def _follows(self, handle: DeltaTable) -> bool:
        """Bring the handle to the newest version; False where its own one is gone."""
        version = handle.version()
        if self._has_entry(version + 1):
            handle.update_incremental()
            return True
        # The log was cleaned meanwhile, or the table is another one by now.
        return self._has_entry(version)

    def _has_entry(self, version: int) -> bool:
        try:
            self._open(entry_name(self.name, version)).close()
        except FileNotFoundError:
            return False
        return True


class Numbers:
    """The int64s that commits to a table carry under their app ids, version by version.

    Only log entries that are new are read: on an object store the library fetches the
    whole log since its checkpoint to tell one number.
    """

    def __init__(self, storage: Storage, table: str, app_ids: Sequence[str]) -> None:
        self._open = storage.opener()
        self._table = table
        self._app_ids = frozenset(app_ids)
        self._version = -1
        self._found: dict[str, int] = {}

    def at(self, handle: DeltaTable) -> dict[str, int]:
        """All of them as the handle's version has them."""
        version = handle.version()
        versions = range(self._version + 1, version + 1)
        found = None
        if 0 <= self._version <= version and len(versions) <= ENTRIES_MAX:
            found = self._follow(versions)
        if found is None:
            known = {name: handle.transaction_version(name) for name in self._app_ids}
            found = {name: n for name, n in known.items() if n is not None}
        self._version, self._found = version, found
        return found

    def forget(self) -> None:
        """Ask for all of them next time: it may be another table."""
        self._version = -1

    def _follow(self, versions: range) -> dict[str, int] | None:
        found = dict(self._found)
        for version in versions:
            try:
                with self._open(entry_name(self._table, version)) as file:
                    entry = file.read()
            except FileNotFoundError:  # It is in a checkpoint by now.
                return None
            carried = transactions(entry)
            found |= {name: n for name, n in carried if name in self._app_ids}
        return found


@dataclass(frozen=True, slots=True)
class FileBounds:
    """What the log says of a file; None where it says nothing."""

    topic_ids: tuple[str, str] | None
    partitions: tuple[int, int] | None
    last_offset: int | None

    def may_hold(self, origin: Partition, beyond: int) -> bool:
        """Whether the file can have rows of an origin beyond an offset."""
        topic_id, partition = origin
        return (
            (self.last_offset is None or self.last_offset > beyond)
            and (self.partitions is None or _within(partition, self.partitions))
            and (self.topic_ids is None or _within(topic_id, self.topic_ids))
        )


def files_of(handle: DeltaTable) -> dict[str, FileBounds]:
    """The files of a table, by their paths inside it, with their bounds."""
    actions: Any = pa.table(handle.get_add_actions(flatten=True))

    def column(name: str) -> list[Any]:
        if name in actions.column_names:
            found: list[Any] = actions[name].to_pylist()
            return found
        return [None] * actions.num_rows

    def bounds(name: str) -> Iterator[Any]:
        for ends in zip(column(f"min.{name}"), column(f"max.{name}"), strict=True):
            yield None if None in ends else ends

    rows = zip(
        column("path"),
        bounds("topic_id"),
        bounds("kafka_partition"),
        column("max.kafka_offset"),
        strict=True,
    )
    return {unquote(path): FileBounds(*known) for path, *known in rows}


@contextmanager
def reading(storage: Storage) -> Iterator[None]:
    """Inside, a lake is read.

    Raises:
        LakeError: it cannot be. StorageUnavailable: not now.
    """
    try:
        yield
    except READ_ERRORS as error:
        raise storage.trouble(error) from error


def _within(value: Any, bounds: tuple[Any, Any]) -> bool:
    low, high = bounds
    return bool(low <= value <= high)
