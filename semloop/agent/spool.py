"""Events that the broker does not have yet: a file with one JSON object per line.

A file belongs to one process, which locks it; the next process adopts the files of a
dead one. Files contain unredacted events: only their owner can read them, and the
process removes them once the broker has all events. `semloop import FILE --format
events` imports a file by hand.
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
import uuid
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Self

SUFFIX = ".jsonl"
READ_BYTES = 2**20


class Spool:
    """One spool file, a queue on disk.

    Not thread-safe: only the thread that sends events uses it.
    """

    def __init__(self, path: Path, bytes_max: int, *, new: bool) -> None:
        """Create a file, or adopt an existing one.

        Links are not followed: the folder may be one that others can write to.

        Raises:
            BlockingIOError: another process owns the file.
            OSError: the file cannot be opened, or is not a regular one of this user.
        """
        self._path = path
        self._bytes_max = bytes_max
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        flags |= os.O_CREAT | os.O_EXCL if new else 0
        descriptor = os.open(path, flags, 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            _check_own(descriptor, path)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise
        self._size = self._complete_size()
        self._read = 0

    @classmethod
    def new(cls, folder: Path, name: str, bytes_max: int) -> Self:
        """Create a file of this process."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        unique = f"{file_name(name)}.{os.getpid()}.{uuid.uuid4().hex[:8]}{SUFFIX}"
        return cls(folder / unique, bytes_max, new=True)

    @classmethod
    def adopt(cls, paths: deque[Path], bytes_max: int) -> Self | None:
        """Adopt the first file that no process owns; remove it and those before it.

        One at a time, since each takes a file descriptor of the host program.
        """
        while paths:
            with contextlib.suppress(OSError):
                return cls(paths.popleft(), bytes_max, new=False)
        return None

    @property
    def empty(self) -> bool:
        """True if every event was acknowledged."""
        return self._read >= self._size

    def append(self, events: Iterable[bytes]) -> int:
        """Store events, until the file is full; return how many were stored.

        Raises:
            OSError: the disk refuses the write; none of the events is stored.
        """
        lines, size, stored = [], 0, 0
        for event in events:
            size += len(event) + 1
            if self._size + size > self._bytes_max:
                size -= len(event) + 1
                break
            lines.append(event)
            stored += 1
        if lines:
            data = b"\n".join(lines) + b"\n"
            try:
                written = os.pwrite(self._file.fileno(), data, self._size)
                if written < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(self._file.fileno(), self._size)
                raise
            self._size += size
        return stored

    def head(self) -> list[bytes]:
        """Return the oldest unacknowledged events, about a megabyte."""
        data = os.pread(
            self._file.fileno(), min(READ_BYTES, self._size - self._read), self._read
        )
        end = data.rfind(b"\n") + 1
        if not end and data:
            # The first event is longer than one read.
            data = os.pread(self._file.fileno(), self._size - self._read, self._read)
            end = data.find(b"\n") + 1
        return data[:end].split(b"\n")[:-1]

    def acknowledge(self, events: Iterable[bytes]) -> None:
        """Remove the oldest events, after the broker has acknowledged them."""
        self._read += sum(len(event) + 1 for event in events)
        if self.empty:
            os.ftruncate(self._file.fileno(), 0)
            self._read = self._size = 0

    def close(self) -> None:
        """Close the file, and remove it if every event was acknowledged."""
        if self.empty:
            self._path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Close the file without removing it."""
        self._file.close()

    def _complete_size(self) -> int:
        """Return the size up to the last complete line; a crash may truncate a line."""
        size = os.fstat(self._file.fileno()).st_size
        while size:
            start = max(0, size - READ_BYTES)
            found = os.pread(self._file.fileno(), size - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            size = start
        return 0


def spool_paths(folder: Path, names: Iterable[str]) -> deque[Path]:
    """Return the files of these names that processes have left, the oldest first."""
    found = []
    for name in dict.fromkeys(map(file_name, names)):
        with contextlib.suppress(OSError):
            for path in folder.glob(f"{name}.*{SUFFIX}"):
                with contextlib.suppress(OSError):
                    found.append((path.lstat().st_mtime, path))
    return deque(path for _, path in sorted(found))


def _check_own(descriptor: int, path: Path) -> None:
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode) or info.st_uid != os.getuid():
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(path))


def file_name(name: str) -> str:
    """Return a name with all characters replaced that file names should not have."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
