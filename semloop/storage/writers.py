"""Who runs the flows of a lake on S3, so that two stacks on one prefix see each other.

Fences decide who may commit; this only tells people. So nothing here stops a flow: a
process that is replaced, by Kubernetes for example, starts as it did before.
"""

import os
import secrets
import socket
from datetime import UTC, datetime

import msgspec

from semloop.errors import SemLoopError
from semloop.storage.location import Storage

LAKE_FILE = "_lake.json"
FOLDER = "_writers"


class StoredLake(msgspec.Struct, frozen=True):
    """A lake in a bucket: a random id, and where it was when it got the id."""

    id: str
    root: str


class Writer(msgspec.Struct, frozen=True):
    """A process that runs a flow.

    process: number of the process in the flow.
    ended: it ended by itself, with everything committed.
    """

    lake_id: str
    flow: str
    process: int
    host: str
    pid: int
    started_at: str
    ended: bool = False

    @property
    def name(self) -> str:
        """The object that holds it."""
        return f"{FOLDER}/{self.flow}-{self.process}.json"


class WriterRecord:
    """The record of this process; for lakes in a folder it does nothing."""

    def __init__(self, storage: Storage, flow: str, process: int = 0) -> None:
        self._storage = storage
        self._flow, self._process = flow, process
        self._own: Writer | None = None

    def start(self) -> Writer | None:
        """Record this process.

        Returns:
            the process of another host that may still run the flow, or None.
        """
        if not self._storage.on_s3:
            return None
        try:
            lake = bind_stored(self._storage)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            host = socket.gethostname()
            own = Writer(lake.id, self._flow, self._process, host, os.getpid(), now)
            found = self._read(own)
            self._write(own)
        except (SemLoopError, OSError):
            return None  # the flow reports it
        return found if found and found.host != own.host else None

    def end(self) -> None:
        """Record that this process has ended by itself."""
        if self._own is None:
            return
        try:
            # Not if another process has replaced this one.
            if self._read(self._own) == self._own:
                self._write(msgspec.structs.replace(self._own, ended=True))
        except (SemLoopError, OSError):
            return

    def _read(self, own: Writer) -> Writer | None:
        """Return the last process of this flow and lake, unless it has ended."""
        data = self._storage.read(own.name)
        try:
            found = msgspec.json.decode(data or b"", type=Writer)
        except msgspec.MsgspecError:
            return None
        return found if found.lake_id == own.lake_id and not found.ended else None

    def _write(self, own: Writer) -> None:
        self._storage.objects.put(own.name, msgspec.json.encode(own))
        self._own = own


def bind_stored(storage: Storage) -> StoredLake:
    """Return the identity of a lake on S3; it gets one if it has none of its own.

    A copy of a prefix has the identity of the original, which names another place.

    Raises:
        LakeError: the store refuses. StorageUnavailable: it does not answer.
        OSError: it refuses a write.
    """
    new = StoredLake(secrets.token_hex(8), storage.root)
    storage.create(LAKE_FILE, msgspec.json.encode(new))
    data = storage.read(LAKE_FILE)
    try:
        found = msgspec.json.decode(data or b"", type=StoredLake)
    except msgspec.MsgspecError:
        found = None
    if found and found.root == new.root:
        return found
    storage.objects.put(LAKE_FILE, msgspec.json.encode(new))
    return new
