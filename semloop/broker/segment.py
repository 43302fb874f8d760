"""A file of a partition's log: batches one after the other, with a sparse index."""

import errno
import mmap
import os
import shutil
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator

from semloop.broker.batch import HEADER_BYTES, Batch, Span, header_at, span_at

# Distance of two index entries: what is read in addition to find an offset.
INDEX_BYTES = 4096
CLOSED = -1
WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class Segment:
    """One file; its owner appends to the last segment of a partition only.

    Attributes:
        name: of the file in the folder of the store.
        base_offset: no record is before it.
        next_offset: offset of the next record.
        size: bytes.
        appended_s: time of the last append, by `time.monotonic`.
        synced: bytes that are on disk.
        is_broken: True if the disk refused to take what was appended.
        created_s: time at which the file was made or opened.
    """

    def __init__(self, folder: int, name: str, base_offset: int) -> None:
        """Open or create the file.

        Args:
            folder: descriptor of the folder, which may be moved while it is open.
            name: of the file.
            base_offset: offset of its first record.

        Raises:
            OSError: the file cannot be created.
        """
        self._folder = folder
        self.name = name
        self._file = os.open(name, os.O_RDWR | os.O_CREAT, 0o600, dir_fd=folder)
        self.base_offset = self.next_offset = base_offset
        self.size = 0
        self._offsets, self._positions = array("q"), array("q")
        # The latest timestamp of all batches up to the next entry of the index.
        self._latest_ms = array("q")
        self.created_s = self.appended_s = time.monotonic()
        self.synced = 0
        self.is_broken = False

    @property
    def is_dirty(self) -> bool:
        """True if something can and must be synced."""
        return self._file != CLOSED and self.size > self.synced and not self.is_broken

    def recover(self, synced: int, *, trusts_all: bool, is_last: bool) -> bool:
        """Read the index from the file, as far as there are complete batches.

        Args:
            synced: bytes that are on disk.
            trusts_all: False if what follows those is not trusted.
            is_last: True if a batch may have been in writing.

        Returns:
            True if it is damaged: there is more than can be read. `cut` removes that.
        """
        size = os.fstat(self._file).st_size
        if not trusts_all:
            size = min(size, synced)
        is_damaged = False
        if size:
            with mmap.mmap(self._file, size, prot=mmap.PROT_READ) as content:
                while span := span_at(content, self.size):
                    if span.base_offset < self.next_offset:
                        break
                    if self.size + span.size > size:
                        break
                    self._note(span)
                    self.next_offset = span.next_offset
                    self.size += span.size
                is_begun = size - self.size < (span.size if span else HEADER_BYTES)
                is_expected = is_begun and is_last and trusts_all
                is_damaged = self.size < size and not is_expected
        self.synced = min(self.size, synced)
        return is_damaged

    def cut(self) -> None:
        """Cut off what follows the complete batches."""
        os.ftruncate(self._file, self.size)

    def append(self, data: "bytes | bytearray", span: Span) -> None:
        """Append a complete batch.

        Raises:
            OSError: the disk is full; nothing was stored.
        """
        rest, at = memoryview(data), self.size
        try:
            while rest:
                done = os.pwrite(self._file, rest, at)
                rest, at = rest[done:], at + done
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self._note(span)
        self.next_offset = span.next_offset
        self.size += span.size
        self.appended_s = time.monotonic()

    def read(self, offset: int, bytes_max: int) -> bytes:
        """Return batches that start with the one that has `offset`, or the next one.

        At least one batch, and about `bytes_max` bytes at most; none at the end.

        Raises:
            OSError: the file cannot be read, or has lost its end.
        """
        start = self._position(offset)
        if start >= self.size:
            return b""
        end = self._end(start, bytes_max)
        data = self._bytes(start, end)
        skipped = 0
        while (span := span_at(data, skipped)) and span.next_offset <= offset:
            skipped += span.size
        if skipped >= len(data) and end < self.size:
            # Only batches before the offset were in reach.
            return self.read_at(end, bytes_max)
        return data[skipped:] if skipped else data

    def read_at(self, start: int, bytes_max: int) -> bytes:
        """Return the batches at a position of the index."""
        return self._bytes(start, self._end(start, bytes_max))

    def _bytes(self, start: int, end: int) -> bytes:
        data = os.pread(self._file, end - start, start)
        if len(data) < end - start:
            raise OSError(errno.EIO, "the file was shortened", self.name)
        return data

    def first_since(self, timestamp_ms: int) -> Span | None:
        """Return the first batch with a record so late; it reads a few KiB."""
        at = bisect_left(self._latest_ms, timestamp_ms)
        if at == len(self._latest_ms):
            return None
        data, found = self.read_at(self._positions[at], INDEX_BYTES), 0
        while span := span_at(data, found):
            if span.latest_ms >= timestamp_ms:
                return span
            found += span.size
        return None

    def headers(self) -> Iterator[Batch]:
        """Yield the headers of all batches."""
        if not self.size:
            return
        with mmap.mmap(self._file, self.size, prot=mmap.PROT_READ) as content:
            start = 0
            while span := span_at(content, start):
                yield header_at(content, start)
                start += span.size

    def begin_sync(self) -> Callable[[], None]:
        """Return what waits until the disk has what was appended, in any thread.

        It can be called even if the file is deleted meanwhile. It raises OSError.
        """
        file, size = os.dup(self._file), self.size

        def wait() -> None:
            try:
                os.fsync(file)
                self.synced = max(self.synced, size)
            except OSError:
                # The system may forget the pages: a second sync would just succeed.
                self.is_broken = True
                raise
            finally:
                os.close(file)

        return wait

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
        self._file = CLOSED

    def delete(self) -> None:
        """Close and delete the file."""
        self.close()
        os.unlink(self.name, dir_fd=self._folder)

    def _note(self, span: Span) -> None:
        latest_ms = max([span.latest_ms, *self._latest_ms[-1:]])
        if not self._positions or self.size - self._positions[-1] >= INDEX_BYTES:
            self._offsets.append(span.base_offset)
            self._positions.append(self.size)
            self._latest_ms.append(latest_ms)
        self._latest_ms[-1] = latest_ms

    def _position(self, offset: int) -> int:
        """Return the last known position at or before an offset."""
        at = bisect_right(self._offsets, offset) - 1
        return self._positions[at] if at >= 0 else 0

    def _end(self, start: int, bytes_max: int) -> int:
        """Return where to end, so that no batch is cut: at a known position."""
        if self.size - start <= bytes_max:
            return self.size
        at = bisect_right(self._positions, start + bytes_max) - 1
        if self._positions[at] > start:
            return self._positions[at]
        return self._positions[at + 1] if at + 1 < len(self._positions) else self.size


def unshare(folder: int, name: str) -> None:
    """Replace a file that has several links by a copy.

    It may be a link of another lake's file: `cp -al` copies a lake by links.
    """
    if os.stat(name, dir_fd=folder).st_nlink == 1:
        return
    draft = f"{name}.part"
    copy_file(folder, name, draft)
    os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)


def copy_file(folder: int, name: str, target: str) -> None:
    """Copy a file inside the folder."""
    with (
        open(os.open(name, os.O_RDONLY, dir_fd=folder), "rb") as source,
        open(os.open(target, WRITE_NEW, 0o600, dir_fd=folder), "wb") as copy,
    ):
        shutil.copyfileobj(source, copy)
