"""The files of the newest version of a table, read entry by entry."""

import json

from semloop.delta.log_entry import entry_name
from semloop.delta.snapshot import Snapshot
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage


class ActiveFiles:
    """Paths of the files of a table at `version`, which `follow` makes the newest.

    `changed`: the table itself may have been changed since it was opened: another
    program may have added a column. `numbers`: int64s of the entries that were read one
    by one, by app id.

    Raises LakeError or StorageUnavailable if the log cannot be read.
    """

    def __init__(self, storage: Storage, table: str) -> None:
        self._storage, self._table = storage, table
        self.version = -1
        self.changed = False
        self.paths: set[str] = set()
        self.numbers: dict[str, int] = {}
        self._open()

    def reopen(self) -> None:
        """Read the newest version from scratch."""
        self.changed = True
        self._open()

    def _open(self) -> None:
        with storage_errors(self._storage, f"read table {self._table}"):
            handle = self._storage.open(self._table)
            self.version = handle.version()
            self.paths = set(Snapshot.of(self._table, handle).files)

    def follow(self) -> None:
        """Read the entries after `version`."""
        before = self.version
        while (entry := self._entry(self.version + 1)) is not None:
            self._apply(entry)
            self.version += 1
        if self._entry(before) is None or not self.has_own_entry():
            # Later entries may have been cleaned up too, so that one of them seems to
            # be free, or was put below a checkpoint.
            self.reopen()

    def has_own_entry(self) -> bool:
        """Return False if the log was cleaned up to this version, or is another one."""
        return self._entry(self.version) is not None

    def _entry(self, version: int) -> bytes | None:
        return self._storage.read(entry_name(self._table, version))

    def _apply(self, entry: bytes) -> None:
        for line in entry.splitlines():
            action = json.loads(line)
            if "add" in action:
                self.paths.add(action["add"]["path"])
            elif "remove" in action:
                self.paths.discard(action["remove"]["path"])
            elif "txn" in action:
                self.numbers[action["txn"]["appId"]] = action["txn"]["version"]
            elif "metaData" in action or "protocol" in action:
                self.changed = True
