"""The files of the spool, of all processes of a user.

    <name>.<owner>.lock           locked by its owner, until that process ends
    <name>.<owner>.000001.seg     its segments

`name` names broker and topic, `owner` one process. The lock ends with its
process, however that ends; a forked child closes its copy.
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

from semloop.agent.spool.mapping import OPEN, is_of
from semloop.agent.spool.segment import DAMAGED

SEGMENT = ".seg"
LOCK = ".lock"
_FILE = re.compile(r"(?P<name>.+)\.(?P<owner>[0-9]+-[0-9a-f]+)\.(?:[0-9]+\.seg|lock)")


# Attempts to create a lock before another process finds it.
TRIES_MAX = 20
# Attempts to lock again, and the pause between them: a process that looks whether there
# are segments has the lock for a moment.
MOMENTS = 3
MOMENT_S = 0.001
# Locks without segments that one search removes; there are few.
TIDIED_MAX = 100


class Lock(Enum):
    """What has become of the lock of a process that runs."""

    HELD = auto()
    AGAIN = auto()
    """The host closed it; it is locked again, and was free meanwhile."""
    TAKEN = auto()
    """The host closed it, and another process has, or had, the segments."""
    REMOVED = auto()
    """The host, or someone, removed the file."""


class Owner:
    """The lock of one process on its segments, or on those that a dead one left."""

    def __init__(self, folder: Path, stem: str) -> None:
        """Lock `<stem>.lock` in the folder.

        Raises:
            BlockingIOError: its owner lives.
            OSError: the folder or the file cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self.stem = stem
        self._path = folder / f"{stem}{LOCK}"
        self._descriptor, self._identity = _locked(self._path, OPEN | os.O_CREAT)
        _open_owners[self] = None

    @classmethod
    def new(cls, folder: Path, name: str) -> "Owner":
        """Lock the files of this process.

        Raises:
            OSError: the folder cannot be written.
        """
        refusal: OSError = BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        for _ in range(TRIES_MAX):
            unique = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
            try:
                return cls(folder, f"{file_name(name)}.{unique}")
            except BlockingIOError:
                continue  # a process that searches locked the new file first
            except FileNotFoundError as error:  # or removed it, or there is no folder
                refusal = error
        raise refusal

    def keep(self) -> Lock:
        """Lock again if the host has closed the descriptor, as daemons do.

        What becomes of the segments, if that is too late, is the caller's to decide.
        """
        if is_of(self._descriptor, self._identity):
            return Lock.HELD if self._is_there() else Lock.REMOVED
        try:
            descriptor, identity = self._lock_again()
        except (BlockingIOError, FileNotFoundError, NotADirectoryError):
            return Lock.TAKEN
        except OSError:
            return Lock.HELD  # no more descriptors, for example: tried again
        if identity != self._identity:
            os.close(descriptor)
            return Lock.TAKEN
        self._descriptor = descriptor
        return Lock.AGAIN

    def _lock_again(self) -> tuple[int, tuple[int, int]]:
        for _ in range(MOMENTS - 1):
            with contextlib.suppress(BlockingIOError):
                return _locked(self._path, OPEN)
            time.sleep(MOMENT_S)
        return _locked(self._path, OPEN)

    @property
    def is_held(self) -> bool:
        """True unless the host has closed the descriptor."""
        return is_of(self._descriptor, self._identity)

    def segment_path(self, number: int) -> Path:
        """Return the path of a segment, numbered from 1."""
        return self.folder / f"{self.stem}.{number:06}{SEGMENT}"

    def segments(self) -> list[Path]:
        """Return the segments that there are, in order."""
        return _segments(self.folder, self.stem)

    def remove(self) -> None:
        """Unlock; remove the lock if there are no more segments."""
        with contextlib.suppress(OSError):
            if not self.segments():
                self._path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Unlock."""
        _open_owners.pop(self, None)
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        # A host that becomes a daemon closes all descriptors, and opens others.
        if is_of(descriptor, self._identity):
            os.close(descriptor)

    def _is_there(self) -> bool:
        """Return False if the file was removed or replaced."""
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # a disk that does not answer now
        return (found.st_dev, found.st_ino) == self._identity


def _locked(path: Path, flags: int) -> tuple[int, tuple[int, int]]:
    """Return descriptor and identity of a file that is now locked.

    Raises:
        BlockingIOError: it is locked already.
        OSError: it cannot be opened, or is not a regular file of this user.
    """
    descriptor = os.open(path, flags, 0o600)
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.getuid():
            raise PermissionError
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.stat(path, follow_symlinks=False)
        if (found.st_dev, found.st_ino) != (info.st_dev, info.st_ino):
            # Another process locked it first, and removed it.
            raise BlockingIOError
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, (info.st_dev, info.st_ino)


_open_owners: dict[Owner, None] = {}


def _segments(folder: Path, stem: str) -> list[Path]:
    prefix = f"{stem}."
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.name.startswith(prefix)]
    return [folder / name for name in sorted(names) if name.endswith(SEGMENT)]


def release_all() -> None:
    """Unlock all in a forked child: the locks are the parent's, and end with it."""
    for owner in tuple(_open_owners):
        owner.release()


os.register_at_fork(after_in_child=release_all)


class Left(NamedTuple):
    """Segments of one owner.

    `stem`: the start of their names. `bytes`: of all. `changed_s`: Unix time of the
    last change.
    """

    name: str
    stem: str
    paths: tuple[Path, ...]
    bytes: int
    changed_s: float


def left_by_all(folder: Path, names: Iterable[str] | None = None) -> list[Left]:
    """Return what all processes have in a folder, the oldest first.

    Args:
        folder: the folder of the spool; it need not exist.
        names: brokers and topics; all if not given.
    """
    wanted = None if names is None else {file_name(name) for name in names}
    found: dict[tuple[str, str], list[tuple[Path, os.stat_result]]] = defaultdict(list)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _FILE.fullmatch(entry.name)
            if match is None or (wanted is not None and match["name"] not in wanted):
                continue
            with contextlib.suppress(OSError):
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(info.st_mode):
                    found[match["name"], match["owner"]].append(
                        (folder / entry.name, info)
                    )
    left = []
    for (name, owner), files in found.items():
        segments = sorted(path for path, _ in files if path.suffix == SEGMENT)
        size = sum(info.st_size for path, info in files if path.suffix == SEGMENT)
        changed_s = max(info.st_mtime for _, info in files)
        left.append(Left(name, f"{name}.{owner}", tuple(segments), size, changed_s))
    return sorted(left, key=lambda each: each.changed_s)


def tidy(folder: Path) -> None:
    """Remove the locks of ended processes that have left no segments.

    A process that starts may have created its file, and not locked it yet: it finds
    that it is locked or removed, and takes another name.
    """
    bare = [left for left in left_by_all(folder) if not left.paths]
    for left in bare[:TIDIED_MAX]:
        # Not `Owner(...)`: it would create the files that others have removed.
        with contextlib.suppress(OSError):
            path = folder / f"{left.stem}{LOCK}"
            descriptor, _ = _locked(path, OPEN)
            try:
                if not _segments(folder, left.stem):
                    path.unlink()
            finally:
                os.close(descriptor)


def bytes_in(folder: Path) -> int:
    """Return the bytes of all segments in a folder."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((SEGMENT, DAMAGED)):
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def file_name(name: str) -> str:
    """Return a name with all characters replaced that file names should not have."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
