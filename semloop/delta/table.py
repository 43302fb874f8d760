"""Follow a Delta table from version to version."""

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from semloop import layout
from semloop.delta.log_entry import entry_name, transactions
from semloop.delta.snapshot import Snapshot, stored_transactions
from semloop.storage.errors import storage_errors

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from semloop.storage.location import Storage

# A handle gets slower with each commit that it follows, and does not notice that the
# lake was deleted and created again.
REOPEN_S = 30.0
# Most log entries that are read one by one to follow transactions; beyond that,
# deltalake reads the log.
ENTRIES_MAX = 50


class TableFollower:
    """The newest version of one table, by a handle that is updated incrementally.

    Args:
        storage: the lake.
        table: folder of the table in the lake.
        app_ids: transactions to include in the snapshots.
    """

    def __init__(
        self, storage: "Storage", table: str, app_ids: Iterable[str] = ()
    ) -> None:
        self._storage = storage
        self._table = table
        self._app_ids = frozenset(app_ids)
        self._open_file = storage.opener()
        self._handle: DeltaTable | None = None
        self._opened_s = 0.0
        self._key_id = ""
        self._snapshot: Snapshot | None = None

    def refresh(self) -> Snapshot | None:
        """Return the newest version; None if the table does not exist.

        While nothing is committed this returns the same object and checks for two
        files only: deltalake would list the log, which has every commit of the last
        hours. A table that was deleted and created again has another `table_id`.

        Raises:
            LakeError: the table cannot be read, or the lake has a newer layout.
            StorageUnavailable: the storage is not available; the next call reopens
                the table.
        """
        with storage_errors(self._storage, f"read table {self._table}"):
            handle, self._handle = self._handle, None
            if handle is None or self._is_old() or not self._update(handle):
                handle = self._opened()
            if handle is None:
                self._snapshot = None
            elif not self._is_current(handle):
                self._snapshot = Snapshot.of(
                    self._table, handle, self._transactions(handle)
                )
            self._handle = handle
        return self._snapshot

    def watch(self, app_ids: Iterable[str]) -> Snapshot | None:
        """Add transactions to this and later snapshots; return the current one.

        Raises:
            LakeError: the table cannot be read.
            StorageUnavailable: the storage is not available.
        """
        added = frozenset(app_ids) - self._app_ids
        if added and self._snapshot is not None:
            with storage_errors(self._storage, f"read table {self._table}"):
                assert self._handle is not None, "refresh() first"
                stored = stored_transactions(self._handle, added)
            numbers = {**self._snapshot.transactions, **stored}
            self._snapshot = replace(self._snapshot, transactions=numbers)
        self._app_ids |= added
        return self._snapshot

    def reopen(self) -> None:
        """Reopen the table at the next refresh."""
        self._handle = None

    def _opened(self) -> "DeltaTable | None":
        layout.check(self._storage)
        if not self._storage.has(self._table):
            return None
        self._opened_s, self._key_id = time.monotonic(), self._storage.key_id
        return self._storage.open(self._table)

    def _is_old(self) -> bool:
        """Return True if the handle is past `REOPEN_S` or its key expires soon."""
        old = time.monotonic() - self._opened_s > REOPEN_S
        return old or self._storage.key_id != self._key_id

    def _update(self, handle: "DeltaTable") -> bool:
        """Bring the handle to the newest version; False if its own one is gone."""
        version = handle.version()
        if self._has_entry(version + 1):
            handle.update_incremental()
            return True
        # False if the log was cleaned meanwhile, or the table was created again.
        return self._has_entry(version)

    def _has_entry(self, version: int) -> bool:
        try:
            self._open_file(entry_name(self._table, version)).close()
        except FileNotFoundError:
            return False
        return True

    def _is_current(self, handle: "DeltaTable") -> bool:
        snapshot = self._snapshot
        if snapshot is None or snapshot.version != handle.version():
            return False
        # The versions of a table that was created again restart at 0.
        return snapshot.table_id == str(handle.metadata().id)

    def _transactions(self, handle: "DeltaTable") -> dict[str, int]:
        """Return the transactions of the handle's version.

        Only new entries are read: on an object store deltalake fetches the whole log
        since the last checkpoint to look up one transaction.
        """
        before = self._snapshot
        if before is not None and before.table_id == str(handle.metadata().id):
            new = range(before.version + 1, handle.version() + 1)
            if before.version <= handle.version() and len(new) <= ENTRIES_MAX:
                added = self._transactions_in(new)
                if added is not None:
                    return {**before.transactions, **added}
        return stored_transactions(handle, self._app_ids)

    def _transactions_in(self, versions: range) -> dict[str, int] | None:
        """Read the transactions of some versions; None if an entry is gone."""
        found: dict[str, int] = {}
        for version in versions if self._app_ids else ():
            try:
                with self._open_file(entry_name(self._table, version)) as file:
                    entry = file.read()
            except FileNotFoundError:  # A checkpoint has replaced it.
                return None
            found |= {
                app_id: number
                for app_id, number in transactions(entry)
                if app_id in self._app_ids
            }
        return found
