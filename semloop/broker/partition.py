"""The log of one partition: segments in order of their offsets.

A segment begins where the one before it ends, even if its first record comes after a
gap. So the name of the oldest file says where the log begins, and a reader whose
position is in a gap gets the next record. The last file stays until it has a successor:
its name says which offsets were given out.
"""

import errno
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress

from semloop.broker.batch import Batch, Span, has_crc, only_batch, placed
from semloop.broker.errors import Code, Refused
from semloop.broker.producers import Producers
from semloop.broker.segment import Segment

SEGMENT_BYTES = 8 * 2**20


class PartitionLog:
    """Appends, reads and deletes records.

    Attributes:
        start_offset: offset of the oldest record that is kept.
        next_offset: offset of the next record.
        size: bytes of all segments.
        prefix: of the names of its files.
    """

    def __init__(
        self, folder: int, prefix: str, start_offset: int = 0, next_offset: int = 0
    ) -> None:
        """Start empty; `adopt` adds what exists.

        Args:
            folder: descriptor of the folder of the files.
            prefix: of their names.
            start_offset: of the oldest record.
            next_offset: of the next record.
        """
        self._folder = folder
        self.prefix = prefix
        self._segments: list[Segment] = []
        self._producers = Producers()
        self.start_offset, self.next_offset = start_offset, next_offset
        self.size = 0

    @property
    def segments(self) -> Sequence[Segment]:
        """The segments, the oldest first."""
        return self._segments

    @property
    def end_offset(self) -> int:
        """Offset after the last record; the next one may come after a gap."""
        return self._segments[-1].next_offset if self._segments else self.start_offset

    def adopt(self, segments: list[Segment]) -> None:
        """Begin with existing segments, the oldest first."""
        self._segments = segments
        self.size = sum(segment.size for segment in segments)
        ends = [segment.next_offset for segment in segments]
        self.next_offset = max([self.next_offset, *ends])
        if segments:
            self.start_offset = max(self.start_offset, segments[0].base_offset)
        # Batches that are sent again, although a file has just begun or been deleted.
        for segment in [each for each in segments if each.size][-2:]:
            for batch in segment.headers():
                self._producers.stored(batch, batch.base_offset)

    def skip(self, offsets: int) -> None:
        """Leave a gap: offsets after the last known one may have been given out."""
        self.next_offset += offsets

    def append(
        self,
        data: bytes,
        bytes_max: int,
        is_full: Callable[[int], bool] = lambda size: False,
    ) -> int:
        """Store a batch, unless it is stored already.

        Args:
            data: one record batch, as Kafka's producers send it.
            bytes_max: its size, at most.
            is_full: says if there is no room for this many bytes.

        Returns:
            the offset of its first record.

        Raises:
            Refused: the batch is invalid or too large, or not the next one of its
                producer; or there is no room: try again later.
        """
        batch = only_batch(data)
        if batch.size > bytes_max:
            raise Refused(Code.MESSAGE_TOO_LARGE)
        if not has_crc(data):
            self._producers.corrupted(batch)
            raise Refused(Code.CORRUPT_MESSAGE, "A batch does not have its checksum.")
        stored = self._producers.stored_at(batch)
        if stored is not None:
            return stored
        try:
            if is_full(batch.size):
                raise OSError(errno.ENOSPC, "The log is full.")
            return self._stored(batch, data)
        except OSError as error:
            self._producers.refused(batch)
            raise Refused(Code.NOT_ENOUGH_REPLICAS, str(error.strerror)) from None

    def _stored(self, batch: Batch, data: bytes) -> int:
        offset = self.next_offset
        following = offset + batch.last_delta + 1
        span = Span(batch.size, offset, following, batch.max_timestamp_ms)
        self._last().append(placed(data, offset), span)
        self.next_offset = following
        self.size += span.size
        self._producers.stored(batch, offset)
        return offset

    def read(self, offset: int, bytes_max: int) -> bytes:
        """Return batches from an offset; empty at the end.

        Raises:
            Refused: the offset was deleted, or is after the end.
        """
        if not self.start_offset <= offset <= self.next_offset:
            raise Refused(Code.OFFSET_OUT_OF_RANGE)
        at = bisect_right(self._segments, offset, key=lambda each: each.base_offset) - 1
        for segment in self._segments[max(at, 0) :]:
            if found := segment.read(offset, bytes_max):
                return found
        return b""

    def offset_at(self, timestamp_ms: int) -> tuple[int, int]:
        """Return offset and timestamp of the first batch with a record so late, or -1.

        The offset is that of the batch: its earlier records may be older.
        """
        for segment in self._segments:
            if found := segment.first_since(timestamp_ms):
                return found.base_offset, found.latest_ms
        return -1, -1

    def delete_before(self, offset: int) -> None:
        """Delete records; files are deleted once all of their records are.

        Raises:
            Refused: the offset is after the end.
        """
        if not 0 <= offset <= self.next_offset:
            raise Refused(Code.OFFSET_OUT_OF_RANGE)
        self.start_offset = max(self.start_offset, offset)
        self._delete_files(offset, time.monotonic())

    def delete_committed(self, committed: int, idle_s: float) -> bool:
        """Delete files all of whose records are committed, the oldest first.

        Args:
            committed: offset after the last committed record.
            idle_s: only files that nothing was appended to for this long.

        Returns:
            True if a file was deleted.
        """
        return self._delete_files(committed, time.monotonic() - idle_s)

    def keep_newest(self, bytes_max: int) -> bool:
        """Delete the oldest files while the others have this size; True if one was."""
        size = self.size
        while (
            len(self._segments) > 1 and self.size - self._segments[0].size >= bytes_max
        ):
            self._delete_files(self._segments[0].next_offset, math.inf)
        return self.size < size

    def _delete_files(self, offset: int, until_s: float) -> bool:
        size = self.size
        while self._segments:
            first = self._segments[0]
            if first.next_offset > offset or first.appended_s > until_s:
                break
            if first is self._segments[-1] and not self._has_successor(first):
                break
            self._segments.pop(0)
            self.size -= first.size
            self.start_offset = max(self.start_offset, first.next_offset)
            first.delete()
        return self.size < size

    def _has_successor(self, last: Segment) -> bool:
        """Return True once the last segment has an empty successor."""
        with suppress(OSError):  # not even an empty file has room
            self._last(new=True)
        return self._segments[-1] is not last

    def close_segment(self, age_s: float) -> None:
        """Let the next record begin a file if the last one is older.

        Without this, a file that gets a record now and then would never be deleted.
        """
        if self._segments and self._segments[-1].created_s < time.monotonic() - age_s:
            self._last(new=True)

    def delete(self) -> None:
        """Delete the files."""
        while self._segments:
            self._segments.pop().delete()

    def _last(self, *, new: bool = False) -> Segment:
        """Return the segment for the next record."""
        last = self._segments[-1] if self._segments else None
        is_over = last and (new or last.is_broken or last.size >= SEGMENT_BYTES)
        if last is None or (last.size and is_over):
            base = last.next_offset if last else self.start_offset
            last = Segment(self._folder, f"{self.prefix}{base:020d}.log", base)
            self._segments.append(last)
        return last
