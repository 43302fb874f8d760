"""What is left to send of a chain of segments; for one thread."""

import contextlib
import time
from collections import deque
from collections.abc import Callable

from semloop.agent.spool.chain import Chain
from semloop.agent.spool.layout import (
    DONE,
    HANDED,
    HEADER_BYTES,
    RESERVED,
    STATE,
    WRITTEN,
    Content,
    content_at,
    end_of,
)
from semloop.agent.spool.segment import Segment

# A thread writes a record within microseconds, unless its host stopped it: then the
# record is not waited for, and counts as dropped.
UNFINISHED_S = 5.0
Dropped = Callable[[int, str], None]
"""Called with a number of events, and why they cannot be sent."""


class Record:
    """An event to send.

    Attributes:
        segment: where it lies.
        start: its place there.
        content: key and event.
        handed_before: True if an earlier producer had it, so the broker may have it.
        done: True once it was sent or dropped.
    """

    __slots__ = ("content", "done", "handed_before", "segment", "start")

    def __init__(
        self, segment: Segment, start: int, content: Content, *, handed_before: bool
    ) -> None:
        self.segment = segment
        self.start = start
        self.content = content
        self.handed_before = handed_before
        self.done = False


class Reader:
    """Takes records in order; those that are not finished can be taken again.

    Attributes:
        finished: number of records that were sent or dropped.
        elsewhere: number of those that another process has sent or dropped.
    """

    def __init__(self, chain: Chain, dropped: Dropped, *, live: bool) -> None:
        """Start with the first record that is not done.

        Args:
            chain: the segments.
            dropped: receives events that cannot be sent.
            live: True if this process may write to the chain.
        """
        self._chain = chain
        self._dropped = dropped
        self._live = live
        self._segment = chain.first
        self._start = min(HEADER_BYTES, chain.first.end)
        self._in_flight: deque[Record] = deque()
        self._damaged: set[Segment] = set()
        self._unfinished_s: float | None = None
        self._is_blocked = False
        self.finished = self.elsewhere = 0

    @property
    def is_empty(self) -> bool:
        """True if all records are done; new ones may follow in a live chain."""
        at_end = self._start >= self._segment.end and self._segment.next is None
        return at_end and not self._in_flight

    @property
    def is_stalled(self) -> bool:
        """True while the next record is not finished, or its file cannot be opened."""
        return self._is_blocked or self._unfinished_s is not None

    @property
    def position(self) -> int:
        """Every record before this position is done."""
        if self._in_flight:
            oldest = self._in_flight[0]
            return oldest.segment.base + oldest.start
        return self._segment.base + self._start

    def take(self) -> Record | None:
        """Return the next record, marked as handed to a producer; None for now."""
        while True:
            segment, start = self._segment, self._start
            # In this order: the writer sets `next` after the last change of `end`.
            following = segment.next
            if start < segment.end:
                record = self._read(segment, start)
                if record is not None or self.is_stalled:
                    return record
            elif following is None:
                return None
            else:
                self._segment = following
                self._start = min(HEADER_BYTES, following.end)
                self._cut()

    def unread(self, record: Record) -> None:
        """Take the newest record again later: no producer has accepted it."""
        self._in_flight.remove(record)
        if not record.handed_before:
            self._mark(record, WRITTEN)
        self._segment, self._start = record.segment, record.start

    def finish(self, record: Record) -> None:
        """Note that the broker has a record, or that it was dropped and counted."""
        if record.done:
            return
        record.done = True
        self._finished(record.segment)
        self._mark(record, DONE)
        while self._in_flight and self._in_flight[0].done:
            self._in_flight.popleft()
        self._cut()

    def rewind(self) -> None:
        """Take all records again that are not done: their producer was discarded."""
        if self._in_flight:
            oldest = self._in_flight[0]
            self._segment, self._start = oldest.segment, oldest.start
            self._in_flight.clear()
        for segment in self._chain:
            if segment is not self._chain.last:
                segment.release()

    def remove(self) -> None:
        """Remove all segments; every record is done."""
        for segment in self._chain:
            self._remove(segment)

    def _read(self, segment: Segment, start: int) -> Record | None:
        """Return the record at this place, or None and continue with the next one."""
        try:
            memory, words = segment.view()
        except FileNotFoundError:
            if segment.doubtful and self._live:
                self._finish_elsewhere(segment)
            else:
                lost = self._left(segment)
                if lost or not self._live:
                    self._dropped(max(1, lost), "their file in the spool was removed")
                self._finished(segment, lost)
            segment.end = start
            return None
        except OSError:  # for example, the host has no more descriptors now
            self._is_blocked = True
            return None
        self._is_blocked = False
        word = words[start >> 2]
        state, end = word & STATE, end_of(start, word)
        if word == 0:
            segment.end = start
            return None
        if state == RESERVED and self._live and not self._waited():
            return None
        self._unfinished_s = None
        if state > DONE or end > segment.size:
            # The rest of the segment cannot be read either.
            self._damage(segment)
            segment.end = start
            return None
        self._start = end
        if state == DONE:
            return None
        if state == RESERVED:
            self._finished(segment)
            segment.mark(start, DONE)
            return None
        content = content_at(memory, words, start, check=not self._live)
        if content is None:
            self._damage(segment)
            segment.mark(start, DONE)
            return None
        handed_before = state == HANDED or segment.doubtful
        record = Record(segment, start, content, handed_before=handed_before)
        segment.mark(start, HANDED)
        self._in_flight.append(record)
        return record

    def _waited(self) -> bool:
        """Return True if a thread has not finished a record for too long."""
        now_s = time.monotonic()
        if self._unfinished_s is None:
            self._unfinished_s = now_s
        if now_s - self._unfinished_s < UNFINISHED_S:
            return False
        self._dropped(1, "a thread did not finish it")
        return True

    def _finished(self, segment: Segment, count: int = 1) -> None:
        segment.done += count
        self.finished += count

    def _finish_elsewhere(self, segment: Segment) -> None:
        """Count the records of a segment that another process has sent."""
        count = self._left(segment)
        self._finished(segment, count)
        self.elsewhere += count

    def _left(self, segment: Segment) -> int:
        """Return the number of records that are not done, and that no producer has."""
        handed = sum(r.segment is segment and not r.done for r in self._in_flight)
        return max(0, segment.events - segment.done - handed)

    def _damage(self, segment: Segment) -> None:
        self._finished(segment)
        self._damaged.add(segment)
        self._dropped(1, "it is damaged in the spool")

    def _mark(self, record: Record, state: int) -> None:
        with contextlib.suppress(OSError):  # the file was removed
            record.segment.mark(record.start, state)

    def _cut(self) -> None:
        """Remove the segments before the oldest record that is not done."""
        in_flight = self._in_flight
        oldest = in_flight[0].segment if in_flight else self._segment
        while (segment := self._chain.first) is not oldest:
            assert segment.next is not None
            self._chain.first = segment.next
            if segment.doubtful and self._live:
                self._finish_elsewhere(segment)
            self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        if segment in self._damaged:
            self._damaged.discard(segment)
            segment.set_aside()
        else:
            segment.remove()
