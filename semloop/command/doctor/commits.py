"""Commits: does the storage let exactly one of several writers make a new file?

Every commit of Delta is a log entry that must not be there yet: on S3 a PUT with
`If-None-Match: *`, in a folder a hard link. Where two may win, events are lost. It is
tried with files of a name of our own, which are removed.
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
from semloop.command.doctor.context import Known
from semloop.command.doctor.store import direct_calls
from semloop.command.terminal.durations import spoken
from semloop.command.terminal.figures import many
from semloop.settings import Settings
from semloop.storage import object_store
from semloop.storage.errors import translate
from semloop.storage.local_files import create_exclusive, write_durable
from semloop.storage.location import Storage

CHECK = "commits"
RACERS = 16
ROUNDS = 3
PREFIX = "_doctor-"
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK}


class Place(Protocol):
    """Where files are made: a folder, or a prefix of a bucket."""

    condition: str

    def make(self, name: str, data: bytes) -> bool:
        """Make a file if it is absent; whether this call did."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file in any case, lasting."""

    def read(self, name: str) -> bytes:
        """What it holds."""

    def remove(self, name: str) -> None:
        """Remove it if it is there."""


class Folder:
    """A lake on a disk."""

    condition = "a hard link"

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    def make(self, name: str, data: bytes) -> bool:
        """By a link, as deltalake does it."""
        return create_exclusive(self._root / name, data, 0o644)

    def write(self, name: str, data: bytes) -> None:
        """With fsync of file and folder."""
        self.remove(name)
        write_durable(self._root / name, data)

    def read(self, name: str) -> bytes:
        """The whole file."""
        return (self._root / name).read_bytes()

    def remove(self, name: str) -> None:
        """Unlink it."""
        (self._root / name).unlink(missing_ok=True)


class Bucket:
    """A lake on S3."""

    condition = "`If-None-Match: *`"

    def __init__(self, storage: Storage) -> None:
        self._objects = direct_calls(storage)

    def make(self, name: str, data: bytes) -> bool:
        """By a conditional PUT."""
        try:
            self._objects.put(name, data, only_new=True)
        except FileExistsError:
            return False
        return True

    def write(self, name: str, data: bytes) -> None:
        """A plain PUT."""
        self._objects.put(name, data)

    def read(self, name: str) -> bytes:
        """A GET."""
        return self._objects.read(name)

    def remove(self, name: str) -> None:
        """A DELETE, which S3 grants for absent objects too."""
        self._objects.remove(name)


def check(known: Known) -> Iterator[Finding]:
    """Make a file twice, then let 16 threads race for one; measure the way there."""
    settings, storage = known.need_settings(), known.need_storage()
    try:
        place = Bucket(storage) if storage.on_s3 else Folder(storage.root)
        yield from tried(settings, place)
    except OSError as error:
        if not storage.on_s3 and error.errno in NO_LINKS:
            todo = "Set SEMLOOP_LAKE to a folder on another disk, or to s3://..."
            yield fail(CHECK, "the file system of the lake has no hard links", todo)
        else:
            raise translate(storage, "create a file", error) from error


def tried(settings: Settings, place: Place) -> Iterator[Finding]:
    """The findings about a place; its files are removed, whatever happens."""
    # Another run at the same time has other names.
    unique = f"{PREFIX}{secrets.token_hex(6)}"
    names = [f"{unique}-{n}" for n in range(ROUNDS + 1)]
    try:
        yield _twice(place, names[0])
        yield _figures(settings, place, names[0])
        yield _race(place, names[1:])
    finally:
        left = _removed(place, names)
    if left:
        todo = "Remove it, and give these credentials the right to remove objects."
        yield warn(CHECK, f"{left[0]} could not be removed again", todo)


def _twice(place: Place, name: str) -> Finding:
    first = place.make(name, b"first")
    second = place.make(name, b"second")
    if not first:
        todo = "Look at what stands between here and the store: a cache, a proxy?"
        return fail(CHECK, "a file that was never there could not be made", todo)
    if second or place.read(name) != b"first":
        return _careless(place, "a file that is there was made a second time")
    return ok(CHECK, f"a second writer of a file is refused ({place.condition})")


def _race(place: Place, names: list[str]) -> Finding:
    """Several rounds: that one of 16 wins may be luck."""
    for name in names:
        winners = _winners(place, name)
        if not winners:
            todo = "Look at the store's own log; then try again."
            return fail(CHECK, f"of {RACERS} writers at once none won", todo)
        if len(winners) > 1:
            return _careless(place, f"of {RACERS} writers at once {len(winners)} won")
        if place.read(name) != winners[0]:
            return _careless(place, "the file is not that of the writer who won")
    rounds = many(len(names), "race")
    return ok(CHECK, f"of {RACERS} writers at once exactly one wins ({rounds})")


def _careless(place: Place, what: str) -> Finding:
    todo = "Use a store with conditional PUT (Amazon S3, MinIO, ...)"
    if isinstance(place, Folder):
        todo = "Set SEMLOOP_LAKE to a folder on a disk of this machine"
    found = f"{what}: {place.condition} is ignored"
    return fail(CHECK, found, f"{todo}: here writers overwrite each other's commits.")


def _winners(place: Place, name: str) -> list[bytes]:
    start = threading.Barrier(RACERS)

    def run(number: int) -> bytes | None:
        data = str(number).encode()
        start.wait(object_store.ANSWER_S)
        return data if place.make(name, data) else None

    with ThreadPoolExecutor(RACERS) as threads:
        return [data for data in threads.map(run, range(RACERS)) if data is not None]


def _figures(settings: Settings, place: Place, name: str) -> Finding:
    write_s = _median_s(lambda: place.write(name, b"doctor"))
    read_s = _median_s(lambda: place.read(name))
    found = f"a small file is written in {spoken(write_s)}, read in {spoken(read_s)}"
    if write_s <= settings.commits.interval_s:
        return ok(CHECK, found)
    todo = "Run the flows nearer to the lake, or raise SEMLOOP_COMMIT_INTERVAL_S."
    return warn(CHECK, f"{found}; a commit writes several", todo)


def _median_s(work: Callable[[], object]) -> float:
    took = []
    for _ in range(ROUNDS):
        started_s = time.perf_counter()
        work()
        took.append(time.perf_counter() - started_s)
    return statistics.median(took)


def _removed(place: Place, names: list[str]) -> list[str]:
    """Remove the files; gives those that may still be there."""
    left = []
    for name in names:
        try:
            place.remove(name)
        except OSError:
            left.append(name)
    return left
