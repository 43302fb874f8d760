"""Appends the events of this process to its segments.

`append` may run at any moment in any thread, also while it runs: a signal handler, or
an object that the garbage collector finalises, may emit. Therefore the lock is
re-entrant, and is only held by code that calls nothing and allocates nothing that
would start the garbage collector; the interpreter runs no signal handler there.
"""

import threading
from pathlib import Path

from semloop.agent.spool.chain import Chain
from semloop.agent.spool.layout import (
    DONE,
    HEADER_BYTES,
    RECORD_BYTES,
    RESERVED,
    WRITTEN,
    checksum,
)
from semloop.agent.spool.segment import Segment
from semloop.agent.spool.space import Space


class Writer:
    """Appends to the chain of segments of this process."""

    def __init__(
        self, folder: Path | None, name: str, bytes_max: int, memory_max: int
    ) -> None:
        """Create nothing yet.

        Args:
            folder: the folder of the spool; None: keep events in memory only.
            name: of broker and topic.
            bytes_max: of all files in the folder.
            memory_max: bytes of events in memory, where files cannot be written.
        """
        self.chain = Chain()
        self._space = Space(folder, name, bytes_max, memory_max)
        self._lock = threading.RLock()

    @property
    def position(self) -> int:
        """Where the next event will be; positions only grow."""
        with self._lock:
            return self.chain.last.base + self.chain.last.end

    @property
    def emitted(self) -> int:
        """Number of events appended."""
        with self._lock:
            return self.chain.last.events_before + self.chain.last.events

    def append(self, key: bytes, event: bytes) -> str | None:
        """Store an event; return None, or why it was dropped."""
        key_size, size = len(key), len(key) + len(event)
        space = (RECORD_BYTES + size + 7) & ~7
        reserved = -1
        try:
            while True:
                with self._lock:
                    segment = self.chain.last
                    start = segment.end
                    end = start + space
                    if end <= segment.size:
                        words, memory = segment.words, segment.memory
                        words[start >> 2] = RESERVED | size  # type: ignore[index]
                        segment.end = end
                        segment.events += 1
                        reserved = start
                        break
                if drop_reason := self._grow(segment, space):
                    return drop_reason
            assert words is not None
            assert memory is not None
            position = start + RECORD_BYTES
            memory[position : position + key_size] = key
            memory[position + key_size : position + size] = event
            index = start >> 2
            words[index + 1] = checksum(key, event)
            words[index + 2] = key_size
            words[index] = WRITTEN | size
            reserved = -1
        except BaseException:
            # The host's: Ctrl-C, or a signal handler that raises.
            if reserved >= 0:
                words[reserved >> 2] = DONE | size  # type: ignore[index]
            raise
        if segment.buffered and start < segment.dirty:
            segment.dirty = start
        return None

    def close(self) -> int:
        """Remove the files of which every event was sent; later events get new ones.

        Returns:
            number of events that were only in memory, and cannot be stored.
        """
        fresh = Chain()
        with self._lock:
            closed = self.chain
            fresh.last.base = closed.last.base + closed.last.end
            fresh.last.events_before = closed.last.events_before + closed.last.events
            self.chain = fresh
        lost = 0
        for segment in closed:
            try:
                unsent = segment.unsent()
            except OSError:  # the file was removed
                lost += segment.events - segment.done
                continue
            if not unsent:
                segment.remove()
            elif segment.path is not None:
                segment.finish()
            elif not self._space.save(segment):
                lost += unsent
        self._space.close()
        return lost

    def release(self) -> None:
        """Close the files in a forked child: they and their locks are the parent's."""
        self._space.release()

    def _grow(self, full: Segment, space: int) -> str | None:
        """Append a segment to the chain; return why there can be none."""
        chain = self.chain
        in_memory = sum(each.size for each in chain if each.path is None)
        keeps_up = chain.first is chain.last
        new = self._space.new(space + HEADER_BYTES, in_memory, keeps_up=keeps_up)
        if new is None:
            return self._space.refusal
        with self._lock:
            # Not if another thread, or a signal handler, did so meanwhile.
            added = self.chain.last is full
            if added:
                new.base = full.base + full.end
                new.events_before = full.events_before + full.events
                full.next = self.chain.last = new
        if added:
            full.release()
        else:
            new.remove()
        return None
