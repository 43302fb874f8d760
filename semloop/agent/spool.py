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
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Self

SUFFIX = ".jsonl"
READ_BYTES = 2**20


class Spool:
    """One spool file, a queue on disk.

    Not thread-safe: only the thread that sends events uses it.
    """

    def __init__(self, path: Path, bytes_max: int) -> None:
        """Create a file, or adopt an existing one.

        Raises:
            BlockingIOError: another process owns the file.
            OSError: the file cannot be created.
        """
        self._path = path
        self._bytes_max = bytes_max
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise
        self._size = self._complete_size()
        self._read = 0

    @classmethod
    def new(cls, folder: Path, name: str, bytes_max: int) -> Self:
        """Create a file of this process."""
        unique = f"{file_name(name)}.{os.getpid()}.{uuid.uuid4().hex[:8]}{SUFFIX}"
        return cls(folder / unique, bytes_max)

    @classmethod
    def orphans(cls, folder: Path, name: str, bytes_max: int) -> list[Self]:
        """Adopt the files that dead processes left, the oldest first."""
        found = []
        with contextlib.suppress(OSError):
            paths = list(folder.glob(f"{file_name(name)}.*{SUFFIX}"))
            paths.sort(key=lambda path: path.stat().st_mtime)
            for path in paths:
                with contextlib.suppress(OSError):
                    found.append(cls(path, bytes_max))
        return found

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


def file_name(name: str) -> str:
    """Return a name with all characters replaced that file names should not have."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
