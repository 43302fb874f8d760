"""Events that the broker has not taken yet: one JSON object a line, in order, on disk.

A file belongs to one process, which holds a lock on it; what a dead process left behind
is adopted by the next one. Files hold events as the agent made them, before redaction:
they are readable by their owner only, and removed once the broker has everything.
`semloop import FILE --format events` takes one by hand.
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
    """One file: appended at its end, read from its start.

    Not thread-safe; the thread that sends events owns it.
    """

    def __init__(self, path: Path, bytes_max: int) -> None:
        """Open a file of one's own, or adopt one.

        Raises:
            BlockingIOError: another process owns it.
            OSError: it cannot be made.
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
        self._size = self._whole_lines()
        self._read = 0

    @classmethod
    def new(cls, folder: Path, name: str, bytes_max: int) -> Self:
        """A new file of this process."""
        unique = f"{file_name(name)}.{os.getpid()}.{uuid.uuid4().hex[:8]}{SUFFIX}"
        return cls(folder / unique, bytes_max)

    @classmethod
    def orphans(cls, folder: Path, name: str, bytes_max: int) -> list[Self]:
        """Files that dead processes left behind, the oldest first."""
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
        """Whether everything was taken."""
        return self._read >= self._size

    def append(self, events: Iterable[bytes]) -> int:
        """Keep events; gives how many, from the first on, found room.

        Raises:
            OSError: the disk refuses; nothing of them is kept.
        """
        lines, size, kept = [], 0, 0
        for event in events:
            size += len(event) + 1
            if self._size + size > self._bytes_max:
                size -= len(event) + 1
                break
            lines.append(event)
            kept += 1
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
        return kept

    def head(self) -> list[bytes]:
        """The oldest events that were not taken, about a megabyte of them."""
        data = os.pread(
            self._file.fileno(), min(READ_BYTES, self._size - self._read), self._read
        )
        end = data.rfind(b"\n") + 1
        if not end and data:
            # One event that is longer than what is read at once.
            data = os.pread(self._file.fileno(), self._size - self._read, self._read)
            end = data.find(b"\n") + 1
        return data[:end].split(b"\n")[:-1]

    def taken(self, events: Iterable[bytes]) -> None:
        """The broker has these, the oldest."""
        self._read += sum(len(event) + 1 for event in events)
        if self.empty:
            os.ftruncate(self._file.fileno(), 0)
            self._read = self._size = 0

    def close(self) -> None:
        """Let go of the file, and remove it if everything was taken."""
        if self.empty:
            self._path.unlink(missing_ok=True)
        self.let_go()

    def let_go(self) -> None:
        """Close the file and leave it as it is."""
        self._file.close()

    def _whole_lines(self) -> int:
        """Bytes up to the last whole line: a crash may have left half of one."""
        size = os.fstat(self._file.fileno()).st_size
        while size:
            start = max(0, size - READ_BYTES)
            found = os.pread(self._file.fileno(), size - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            size = start
        return 0


def file_name(name: str) -> str:
    """A name as the beginning of a file's."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
