"""A segment: records in memory that is a file, or is written to one, or is only memory.

A mapped file needs reserved blocks: a store to a page that a full disk cannot back
would end the host program with SIGBUS.
"""

import contextlib
import errno
import mmap
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Self

from semloop.agent.spool.layout import (
    DONE,
    HEADER_BYTES,
    MAGIC,
    RESERVED,
    SIZE_MAX,
    STATE,
    end_of,
)

DAMAGED = ".damaged"
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
# Absent on some systems; there the sender writes segments to their files.
_reserve: Callable[[int, int, int], None] | None = getattr(os, "posix_fallocate", None)


class Segment:
    """Memory with records, and what is known of it in this process.

    Attributes:
        path: its file; None if there is only memory.
        size: in bytes.
        base: bytes of all segments of its owner before it.
        end: where the next record starts; only the writer changes it.
        next: the segment after it.
        buffered: True if the memory is not the file, but `sync` writes it there.
        dirty: where the first change starts that `sync` has not written.
        events: number of records, in the process that writes them.
        events_before: number of records of all segments of its owner before it.
        done: number of records that were sent or dropped.
        memory: its bytes; None after `release`.
        words: the same bytes as words of 32 bits.
    """

    __slots__ = (
        "base", "buffered", "dirty", "done", "end", "events", "events_before",
        "memory", "next", "path", "size", "words",
    )  # fmt: skip

    def __init__(
        self,
        path: Path | None,
        memory: mmap.mmap | None,
        size: int,
        *,
        buffered: bool = False,
    ) -> None:
        self.path = path
        self.size = size
        self.base = 0
        self.end = HEADER_BYTES if size else 0
        self.next: Segment | None = None
        self.buffered = buffered
        self.dirty = 0
        self.events = self.events_before = self.done = 0
        self.memory = memory
        self.words = None if memory is None else _words_of(memory)

    @classmethod
    def create(cls, path: Path, size: int) -> Self:
        """Create a file.

        Raises:
            OSError: the disk is full, or refuses the file.
        """
        descriptor = os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            mapped = _reserved(descriptor, size)
            memory = mmap.mmap(descriptor if mapped else -1, size)
            memory[:HEADER_BYTES] = MAGIC
            segment = cls(path, memory, size, buffered=not mapped)
            segment.sync()
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return segment

    @classmethod
    def in_memory(cls, size: int) -> Self:
        """Create a segment without a file."""
        memory = mmap.mmap(-1, size)
        memory[:HEADER_BYTES] = MAGIC
        return cls(None, memory, size)

    @classmethod
    def adopt(cls, path: Path) -> Self:
        """Open the file of a dead process.

        Raises:
            OSError: it cannot be opened, or others may have written it.
            ValueError: it is not a segment.
        """
        memory = _mapped(path)
        if memory is None or memory[:HEADER_BYTES] != MAGIC:
            header = b"" if memory is None else memory[:HEADER_BYTES]
            if not any(header) and (header or path.lstat().st_size == 0):
                # Its process was killed before it wrote the header, and any record.
                path.unlink(missing_ok=True)
            msg = "not a segment"
            raise ValueError(msg)
        segment = cls(path, memory, len(memory) & ~7)
        segment.end = segment.size
        return segment

    def view(self) -> tuple[mmap.mmap, memoryview]:
        """Return the bytes and the words, mapped again if `release` was called.

        Raises:
            OSError: the file was removed or replaced.
        """
        memory, words = self.memory, self.words
        if memory is None or words is None:
            assert self.path is not None
            memory = _mapped(self.path)
            if memory is None or len(memory) & ~7 != self.size:
                raise FileNotFoundError
            words = _words_of(memory)
            self.memory, self.words = memory, words
        return memory, words

    def release(self) -> None:
        """Give up the memory where the file has all; threads that use it keep it."""
        if self.path is not None and not self.buffered:
            self.memory = self.words = None

    def mark(self, start: int, state: int) -> None:
        """Set the state of a record."""
        words = self.view()[1]
        words[start >> 2] = state | (words[start >> 2] & SIZE_MAX)
        # Not `min`: a thread may append, and set `dirty`, during a call.
        self.dirty = start if start < self.dirty else self.dirty

    def sync(self) -> None:
        """Write what has changed to the file, if the memory is not the file.

        Raises:
            OSError: the disk refuses the write.
        """
        if not self.buffered or self.path is None or self.dirty >= self.end:
            return
        memory, words = self.view()
        start, end = self.dirty, self.end
        self.dirty = end
        position = HEADER_BYTES if start < HEADER_BYTES else start
        while position < end:
            word = words[position >> 2]
            if word & STATE == RESERVED:
                # A thread is writing it: next time again.
                self.dirty = position if position < self.dirty else self.dirty
                break
            position = end_of(position, word)
        descriptor = os.open(self.path, _OPEN)
        try:
            written = os.pwrite(descriptor, memory[start:end], start)
            if written < end - start:
                raise OSError
        except OSError:
            self.dirty = start if start < self.dirty else self.dirty
            raise
        finally:
            os.close(descriptor)
        if self.next is not None and self.dirty >= self.end:
            self.buffered, self.size = False, self.end  # no thread will write to it
            self.release()

    def unsent(self) -> int:
        """Return the number of records that are not done.

        Raises:
            OSError: the file was removed or replaced.
        """
        if self.end <= HEADER_BYTES:
            return 0
        words = self.view()[1]
        count, start, end = 0, HEADER_BYTES, self.end
        while start < end and (word := words[start >> 2]):
            count += word & STATE != DONE
            start = end_of(start, word)
        return count

    def finish(self) -> bool:
        """Write the rest to the file, and cut it; False if no file has all."""
        if self.path is None:
            return False
        try:
            self.sync()
            os.truncate(self.path, self.end)
        except OSError:
            return not self.buffered and self.path.exists()
        return True

    def save(self, path: Path) -> "Segment":
        """Write memory without a file to a file.

        Raises:
            OSError: the disk is full, or refuses the file.
        """
        saved = Segment.create(path, self.end)
        saved.view()[0][: self.end] = self.view()[0][: self.end]
        saved.end = self.end
        saved.sync()
        return saved

    def remove(self) -> None:
        """Remove the file; every record is done."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def set_aside(self) -> None:
        """Rename the file: it has records that cannot be read."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.rename(self.path.with_suffix(DAMAGED))


def _reserved(descriptor: int, size: int) -> bool:
    """Reserve the blocks of a file; False if its file system cannot.

    Raises:
        OSError: the disk is full.
    """
    try:
        if _reserve is None:
            return False
        _reserve(descriptor, 0, size)
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV, errno.ENOSYS}:
            return False
        raise
    return True


def _words_of(memory: mmap.mmap) -> memoryview:
    return memoryview(memory)[: len(memory) & ~7].cast("I")


def _mapped(path: Path) -> mmap.mmap | None:
    """Map a file that this user wrote; None if it is empty."""
    descriptor = os.open(path, _OPEN)
    try:
        info = os.fstat(descriptor)
        private = not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.getuid() or not private:
            raise PermissionError
        return mmap.mmap(descriptor, 0) if info.st_size >= HEADER_BYTES else None
    finally:
        os.close(descriptor)
