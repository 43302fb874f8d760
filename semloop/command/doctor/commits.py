"""Commit check: of concurrent writers, exactly one may create a file.

Every Delta commit creates a log entry that must not exist yet: on S3 a PUT with
`If-None-Match: *`, in a folder a hard link. If two writers can succeed, events are
lost. The check creates files with unique names and removes them.
"""

import errno
import secrets
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from semloop.command.doctor import Finding, fail, ok, warn
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.store import direct_calls
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.figures import format_count
from semloop.settings import Settings
from semloop.storage import object_store
from semloop.storage.errors import translate
from semloop.storage.listing import PROBE
from semloop.storage.local_files import create_exclusive, write_durable
from semloop.storage.location import Storage

CHECK = "commits"
RACERS = 16
ROUNDS = 3
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK}


class FileStore(Protocol):
    """A folder, or a prefix of a bucket."""

    condition: str

    def create(self, name: str, data: bytes) -> bool:
        """Create a file if it does not exist; return True if this call did."""

    def write(self, name: str, data: bytes) -> None:
        """Write or replace a file durably."""

    def read(self, name: str) -> bytes:
        """Return the content of a file."""

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""


class Folder:
    """A lake in a local folder."""

    condition = "a hard link"

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    def create(self, name: str, data: bytes) -> bool:
        """Create it with a hard link, as deltalake does."""
        return create_exclusive(self._root / name, data, 0o644)

    def write(self, name: str, data: bytes) -> None:
        """Write it with fsync of file and folder."""
        self.remove(name)
        write_durable(self._root / name, data)

    def read(self, name: str) -> bytes:
        """Read the whole file."""
        return (self._root / name).read_bytes()

    def remove(self, name: str) -> None:
        """Unlink it if it exists."""
        (self._root / name).unlink(missing_ok=True)


class Bucket:
    """A lake on S3."""

    condition = "`If-None-Match: *`"

    def __init__(self, storage: Storage) -> None:
        self._objects = direct_calls(storage)

    def create(self, name: str, data: bytes) -> bool:
        """Send a conditional PUT."""
        try:
            self._objects.put(name, data, only_new=True)
        except FileExistsError:
            return False
        return True

    def write(self, name: str, data: bytes) -> None:
        """Send an unconditional PUT."""
        self._objects.put(name, data)

    def read(self, name: str) -> bytes:
        """Send a GET."""
        return self._objects.read(name)

    def remove(self, name: str) -> None:
        """Send a DELETE, which succeeds for missing objects too."""
        self._objects.remove([name])


def check(context: CheckContext) -> Iterator[Finding]:
    """Create a file twice, measure latencies, then race 16 threads for one file."""
    settings, storage = context.require_settings(), context.require_storage()
    try:
        store = Bucket(storage) if storage.on_s3 else Folder(storage.root)
        yield from probed(settings, store)
    except OSError as error:
        if not storage.on_s3 and error.errno in NO_LINKS:
            todo = "Set SEMLOOP_LAKE to a folder on another disk, or to s3://..."
            yield fail(CHECK, "the file system of the lake has no hard links", todo)
        else:
            raise translate(storage, "create a file", error) from error


def probed(settings: Settings, store: FileStore) -> Iterator[Finding]:
    """Yield the findings about a store; its files are removed in every case."""
    # Unique, so that another run at the same time cannot collide.
    unique = f"{PROBE}{secrets.token_hex(6)}"
    names = [f"{unique}-{n}" for n in range(ROUNDS + 1)]
    try:
        yield _create_twice(store, names[0])
        yield _latency(settings, store, names[0])
        yield _race(store, names[1:])
    finally:
        left = _removed(store, names)
    if left:
        todo = "Remove it by hand, and grant permission to delete files in the lake."
        yield warn(CHECK, f"the test file {left[0]} could not be removed", todo)


def _create_twice(store: FileStore, name: str) -> Finding:
    first = store.create(name, b"first")
    second = store.create(name, b"second")
    if not first:
        todo = "Check for a cache or proxy between this machine and the store."
        return fail(CHECK, "creating a new file failed as if it existed", todo)
    if second or store.read(name) != b"first":
        return _unsafe(store, "an existing file was overwritten")
    return ok(CHECK, f"creating an existing file is rejected ({store.condition})")


def _race(store: FileStore, names: list[str]) -> Finding:
    """Run several rounds, since one of 16 writers can win by chance."""
    for name in names:
        winners = _winners(store, name)
        if not winners:
            todo = "Check the log of the store, then run `semloop doctor` again."
            found = f"none of {RACERS} concurrent writers could create a file"
            return fail(CHECK, found, todo)
        if len(winners) > 1:
            writers = f"{len(winners)} of {RACERS} concurrent writers"
            return _unsafe(store, f"{writers} created the same file")
        if store.read(name) != winners[0]:
            return _unsafe(store, "a file has the content of a rejected writer")
    rounds = format_count(len(names), "race")
    found = f"exactly one of {RACERS} concurrent writers creates a file ({rounds})"
    return ok(CHECK, found)


def _unsafe(store: FileStore, what: str) -> Finding:
    todo = "Use a store with conditional PUT (Amazon S3, MinIO, ...)"
    if isinstance(store, Folder):
        todo = "Set SEMLOOP_LAKE to a folder on a local disk"
    found = f"{what}: {store.condition} is ignored"
    return fail(CHECK, found, f"{todo}: here writers overwrite each other's commits.")


def _winners(store: FileStore, name: str) -> list[bytes]:
    start = threading.Barrier(RACERS)

    def run(number: int) -> bytes | None:
        data = str(number).encode()
        start.wait(object_store.ANSWER_S)
        return data if store.create(name, data) else None

    with ThreadPoolExecutor(RACERS) as threads:
        return [data for data in threads.map(run, range(RACERS)) if data is not None]


def _latency(settings: Settings, store: FileStore, name: str) -> Finding:
    write_s = _median_s(lambda: store.write(name, b"doctor"))
    read_s = _median_s(lambda: store.read(name))
    found = f"writing a small file takes {format_duration(write_s)}, "
    found += f"reading {format_duration(read_s)}"
    if write_s <= settings.commits.interval_s:
        return ok(CHECK, found)
    todo = "Run the flows closer to the lake, or raise SEMLOOP_COMMIT_INTERVAL_S."
    return warn(CHECK, f"{found}; a commit writes several files", todo)


def _median_s(work: Callable[[], object]) -> float:
    took = []
    for _ in range(ROUNDS):
        started_s = time.perf_counter()
        work()
        took.append(time.perf_counter() - started_s)
    return statistics.median(took)


def _removed(store: FileStore, names: list[str]) -> list[str]:
    """Remove the files; return those that may still exist."""
    left = []
    for name in names:
        try:
            store.remove(name)
        except OSError:
            left.append(name)
    return left
