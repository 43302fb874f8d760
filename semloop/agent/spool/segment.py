"""A segment: records in memory that is a file, or is written to one, or is only memory.

A mapped file needs reserved blocks: a store to a page that a full disk cannot back
would end the host program with SIGBUS.
"""

import contextlib
import errno
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

from semloop.agent.spool.layout import (
    DONE,
    HEADER_BYTES,
    LAGGING_MAGIC,
    MAGIC,
    MAGICS,
    RESERVED,
    SIZE_MAX,
    STATE,
    end_of,
)
from semloop.agent.spool.mapping import OPEN, Mapping, map_own

DAMAGED = ".damaged"
# Absent on some systems; there the sender writes segments to their files.
_reserve: Callable[[int, int, int], None] | None = getattr(os, "posix_fallocate", None)


class Segment:
    """Memory with records, and what is known of it in this process.

    Attributes:
        path: its file; None if there is only memory.
        size, base: its bytes, and those of all segments of its owner before it.
        end: where the next record starts; only the writer changes it.
        next: the segment after it.
        number: its place among the segments of its process.
        buffered: True if the memory is not the file, but `sync` writes it there.
        dirty: where the first change starts that `sync` has not written.
        refused: True while the disk refuses what `sync` writes.
        events, events_before: number of records, in the process that writes them, and
            of those of all segments of its owner before it.
        done: number of records that were sent or dropped.
        doubtful: True if the broker may have any of its records: they were in the hands
            of another process, or their states in the file may lag behind.
        lost: True if the file may be another process's, which then removes it.
        memory: its bytes; None after `release`.
        words: the same bytes as words of 32 bits.
    """

    __slots__ = (
        "base", "buffered", "dirty", "done", "doubtful", "end", "events",
        "events_before", "lost", "memory", "next", "number", "path", "refused", "size",
        "words",
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
        self.base, self.end = 0, HEADER_BYTES if size else 0
        self.next: Segment | None = None
        self.buffered = buffered
        self.dirty = 0
        self.number = 0
        self.doubtful = self.lost = self.refused = False
        self.events = self.events_before = self.done = 0
        self.memory = memory
        self.words = None if memory is None else _words_of(memory)

    @classmethod
    def create(cls, path: Path, size: int) -> Self:
        """Create a file.

        Raises:
            OSError: the disk is full, or refuses the file.
        """
        descriptor = os.open(path, OPEN | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            mapped = reserved(descriptor, size)
            memory = Mapping.of(descriptor) if mapped else mmap.mmap(-1, size)
            memory[:HEADER_BYTES] = MAGIC if mapped else LAGGING_MAGIC
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
        memory = map_own(path)
        if memory is None or memory[:HEADER_BYTES] not in MAGICS:
            header = b"" if memory is None else memory[:HEADER_BYTES]
            if not any(header) and (header or path.lstat().st_size == 0):
                # Its process was killed before it wrote the header, and any record.
                path.unlink(missing_ok=True)
            msg = "not a segment"
            raise ValueError(msg)
        segment = cls(path, memory, len(memory) & ~7)
        segment.end = segment.size
        segment.doubtful = memory[:HEADER_BYTES] == LAGGING_MAGIC
        return segment

    def view(self) -> tuple[mmap.mmap, memoryview]:
        """Return the bytes and the words, mapped again if `release` was called.

        Raises:
            OSError: the file was removed or replaced.
        """
        memory, words = self.memory, self.words
        if memory is None or words is None:
            if self.path is None:
                raise FileNotFoundError
            memory = map_own(self.path)
            # It may be longer: see `mapping`.
            if memory is None or len(memory) < self.size:
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
        _, words = self.view()
        words[start >> 2] = state | (words[start >> 2] & SIZE_MAX)
        # Not `min`: a thread may append, and set `dirty`, during a call.
        self.dirty = start if start < self.dirty else self.dirty

    def sync(self) -> None:
        """Write what has changed to the file, if the memory is not the file.

        Raises:
            OSError: the disk refuses the write.
        """
        if not self.buffered or self.path is None:
            return
        # What was written while it was the last is completed once it is not.
        if self.dirty >= self.end and self.next is None:
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
        descriptor = os.open(self.path, OPEN)
        try:
            written = os.pwrite(descriptor, memory[start:end], start)
            if written < end - start:
                raise OSError
            if complete := self.next is not None and self.dirty >= self.end:
                self.settle(descriptor)
        except OSError:
            self.dirty = start if start < self.dirty else self.dirty
            self.refused = True
            raise
        else:
            self.refused = False
        finally:
            os.close(descriptor)
        if complete:
            self.buffered, self.size = False, self.end  # no thread will write to it
            self.release()

    def unsent(self, start: int = HEADER_BYTES) -> int:
        """Return the number of records from a place on that are not done.

        Raises:
            OSError: the file was removed or replaced.
        """
        if self.end <= start:
            return 0
        words = self.view()[1]
        count, end = 0, self.end
        while start < end and (word := words[start >> 2]):
            count += word & STATE != DONE
            start = end_of(start, word)
        return count

    def remove(self) -> None:
        """Remove the file; every record is done."""
        if self.path is not None and not self.lost:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def set_aside(self) -> None:
        """Rename the file: it has records that cannot be read."""
        if self.path is not None and not self.lost:
            with contextlib.suppress(OSError):
                self.path.rename(self.path.with_suffix(DAMAGED))

    def settle(self, descriptor: int) -> None:
        """Cut the file, and note in it that its states do not lag behind any more."""
        if not self.doubtful:  # or else another process may have mapped it
            os.ftruncate(descriptor, self.end)
            os.pwrite(descriptor, MAGIC, 0)


def reserved(descriptor: int, size: int) -> bool:
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
