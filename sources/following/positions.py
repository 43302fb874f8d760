"""The marks of all files, in the lake.

They are no checkpoint: what tells whether an event was stored is its id in `events`.
They only save the time to read again what was read. So a file of marks may be old,
damaged or lost: then more is sent again, with the header by which `archive` looks up
ids in the whole table.
"""

import getpass
import platform
from hashlib import blake2b
from pathlib import Path

import msgspec

from semloop.errors import SemLoopError
from semloop.storage.location import Storage
from sources.following.mark import Mark

FOLDER = "_watch"
VERSION = 1


class _Stored(msgspec.Struct):
    version: int
    marks: list[Mark]


_decode = msgspec.json.Decoder(_Stored).decode


class Positions:
    """Reads and writes the marks of this user on this computer."""

    def __init__(self, storage: Storage) -> None:
        """Read nothing yet; `storage`: of the lake."""
        self._storage = storage
        who = "local"
        if storage.on_s3:
            owner = f"{platform.node()}\0{getpass.getuser()}".encode()
            who = blake2b(owner, digest_size=8).hexdigest()
        self._name = f"{FOLDER}/{who}.json"

    @property
    def is_kept(self) -> bool:
        """Whether there is a lake to write to."""
        return self._storage.on_s3 or Path(self._storage.root).is_dir()

    @property
    def on_s3(self) -> bool:
        """Whether the lake is in an object store."""
        return self._storage.on_s3

    def load(self) -> list[Mark]:
        """Return the marks; none if they cannot be read, or are of another version."""
        try:
            found = self._storage.read(self._name)
            stored = _decode(found) if found else None
        except (SemLoopError, OSError, msgspec.MsgspecError):
            return []
        return stored.marks if stored and stored.version == VERSION else []

    def save(self, marks: list[Mark]) -> bool:
        """Write the marks; return False if the storage refuses."""
        data = msgspec.json.encode(_Stored(VERSION, marks))
        try:
            self._storage.replace(self._name, data)
        except (SemLoopError, OSError):
            return False
        return True
