"""Appends the events of this process to its segments.

`append` may run at any moment in any thread, also while it runs: a signal handler, or
an object that the garbage collector finalises, may emit. There is no lock, since code
that holds one may be interrupted by code that waits for it in another thread.

Instead, the lines marked with `atomic` are not interrupted. The interpreter runs signal
handlers, and switches threads, only at calls and jumps backwards; it collects garbage
only there, or (Python 3.11) where it creates a container. These lines have none of
that, up to the last of their stores. Each is one line since the functions of
`sys.settrace`, as debuggers use them, run between lines. Only one that asks for each
instruction (`f_trace_opcodes`) can interrupt them; it must not emit there.
"""

import itertools
import time
from pathlib import Path

from semloop.agent.spool.chain import Chain
from semloop.agent.spool.folder import Owner, bytes_in
from semloop.agent.spool.layout import (
    DONE,
    HEADER_BYTES,
    RECORD_BYTES,
    RESERVED,
    WRITTEN,
    checksum,
)
from semloop.agent.spool.segment import Segment

# Segments grow, since the folder is bounded, and many processes may share it: to
# `STEADY_BYTES`, and while the broker does not keep up to `SEGMENT_BYTES`. None takes
# more than a part of the room that is left.
FIRST_BYTES = 64 * 2**10
GROWTH = 4
STEADY_BYTES = 2**20
SEGMENT_BYTES = 8 * 2**20
ROOM_PARTS = 8
MEMORY_SEGMENT_BYTES = 2**20
# After a failure, pause before the next attempt to create a file.
RETRY_S = 0.5
# After a refusal, further ones cost nothing for this long.
REFUSAL_S = 0.01


class Writer:
    """Appends to the chain of segments of this process.

    Attributes:
        chain: the segments.
        folder: where the files are; None: events are in memory only.
    """

    def __init__(
        self, folder: Path | None, name: str, bytes_max: int, memory_max: int
    ) -> None:
        """Create nothing yet.

        Args:
            folder: the folder of the spool; None: keep events in memory only.
            name: stands for broker and topic.
            bytes_max: of all files in the folder.
            memory_max: bytes of events in memory, where files cannot be written.
        """
        self.folder = folder
        self.chain = Chain()
        self._name = name
        self._bytes_max = bytes_max
        self._memory_max = memory_max
        self._numbers = itertools.count(1)
        self._size = FIRST_BYTES
        self._owner: Owner | None = None
        self._retry_s = self._refused_until_s = 0.0
        self._failure = "the queue is full"

    @property
    def position(self) -> int:
        """Where the next event will be; positions only grow."""
        last = self.chain.last
        return last.base + last.end

    @property
    def emitted(self) -> int:
        """Number of events appended."""
        last = self.chain.last
        return last.events_before + last.events

    def append(self, key: bytes, event: bytes) -> str | None:
        """Store an event; return None, or why it was dropped."""
        key_size, size = len(key), len(key) + len(event)
        space = (RECORD_BYTES + size + 7) & ~7
        reserved = -1
        try:
            while reserved < 0:
                segment = self.chain.last
                words, memory = segment.words, segment.memory
                start = segment.end
                end = start + space
                if end > segment.size:
                    if drop_reason := self._grow(segment, space):
                        return drop_reason
                    continue
                # Unless other code came between. The reader sees `end` after the word.
                # fmt: off
                if segment.end == start and self.chain.last is segment: words[start >> 2] = RESERVED | size; segment.end = end; segment.events += 1; reserved = start  # type: ignore[index]  # noqa: E501, E701, E702  # atomic
                # fmt: on
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
        closed, owner = self.chain, self._owner
        fresh.last.base = closed.last.base + closed.last.end
        fresh.last.events_before = closed.last.events_before + closed.last.events
        self.chain, self._owner = fresh, None
        lost = 0
        for segment in closed:
            try:
                unsent = segment.unsent()
            except OSError:  # the file was removed
                lost += segment.events - segment.done
                continue
            if not unsent:
                segment.remove()
            elif not (segment.finish() or self._saved(segment)):
                lost += unsent
        if owner is not None:
            owner.remove()
        return lost

    def release(self) -> None:
        """Close the files in a forked child: they and their locks are the parent's."""
        if self._owner is not None:
            self._owner.release()

    def _grow(self, full: Segment, space: int) -> str | None:
        """Append a segment to the chain; return why there can be none."""
        new = self._new_segment(space + HEADER_BYTES)
        if new is None:
            return self._failure
        new.base = full.base + full.end
        new.events_before = full.events_before + full.events
        # Not if another thread, or a signal handler, did so meanwhile.
        # fmt: off
        if self.chain.last is full: full.next = self.chain.last = new  # noqa: E701  # atomic
        # fmt: on
        if full.next is new:
            full.release()
        else:
            new.remove()
        return None

    def _new_segment(self, needed: int) -> Segment | None:
        new, now_s = None, time.monotonic()
        if now_s < self._refused_until_s:
            return None
        if self.folder is not None and now_s >= self._retry_s:
            new = self._new_file(self.folder, needed)
            if new is None:
                self._size = FIRST_BYTES
                self._retry_s = now_s + RETRY_S
        if new is None:
            new = self._new_memory(needed)
        if new is None:
            self._refused_until_s = now_s + REFUSAL_S
        else:
            keeps_up = self.chain.first is self.chain.last
            size_max = STEADY_BYTES if keeps_up else SEGMENT_BYTES
            self._size = min(self._size * GROWTH, size_max)
        return new

    def _new_file(self, folder: Path, needed: int) -> Segment | None:
        room = self._bytes_max - bytes_in(folder)
        if needed > room:
            self._failure = "the spool and the queue are full"
            return None
        part = max(FIRST_BYTES, room // ROOM_PARTS)
        size = max(needed, min(self._size, part, room))
        try:
            path = self._own(folder).segment_path(next(self._numbers))
            return Segment.create(path, _pages(size))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self._failure = f"cannot write to the spool in {folder}: {reason}"
            if isinstance(error, FileNotFoundError):
                self._owner = None  # the folder was removed, and the lock with it
            return None

    def _new_memory(self, needed: int) -> Segment | None:
        in_memory = sum(each.size for each in self.chain if each.path is None)
        room = self._memory_max - in_memory
        if needed > room:
            return None
        size = max(needed, min(self._size, MEMORY_SEGMENT_BYTES, room))
        try:
            return Segment.in_memory(_pages(size))
        except OSError:
            return None

    def _own(self, folder: Path) -> Owner:
        """Return the lock of this process.

        Raises:
            OSError: the folder cannot be written.
        """
        if self._owner is not None:
            return self._owner
        new = Owner.new(folder, self._name)
        owner = self._owner = self._owner or new  # atomic
        if owner is not new:
            new.remove()
        return owner

    def _saved(self, segment: Segment) -> bool:
        """Store what has no file; False if the disk or the bound refuses."""
        if self.folder is None or segment.end > self._bytes_max - bytes_in(self.folder):
            return False
        try:
            owner = Owner.new(self.folder, self._name)
        except OSError:
            return False
        try:
            segment.save(owner.segment_path(1))
        except OSError:
            return False
        finally:
            owner.remove()
        return True


def _pages(size: int) -> int:
    return (size + 4095) & ~4095
