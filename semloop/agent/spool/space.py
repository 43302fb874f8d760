"""Where new segments of this process lie: in files, or else in memory."""

import itertools
import time
from pathlib import Path

from semloop.agent.spool.folder import Owner, bytes_in
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


class Space:
    """Creates segments; for any thread and signal handler.

    Attributes:
        refusal: why there was no room for the last segment.
    """

    def __init__(
        self, folder: Path | None, name: str, bytes_max: int, memory_max: int
    ) -> None:
        """Create nothing yet.

        Args:
            folder: the folder of the spool; None: only memory.
            name: of broker and topic.
            bytes_max: of all files in the folder.
            memory_max: bytes of segments in memory.
        """
        self.refusal = "the queue is full"
        self._folder = folder
        self._name = name
        self._bytes_max = bytes_max
        self._memory_max = memory_max
        self._owner: Owner | None = None
        self._numbers = itertools.count(1)
        self._size = FIRST_BYTES
        self._retry_s = self._refused_until_s = 0.0

    def new(self, needed: int, in_memory: int, *, keeps_up: bool) -> Segment | None:
        """Return a new segment; None if there is no room.

        Args:
            needed: its bytes, at least.
            in_memory: bytes of segments in memory.
            keeps_up: True if the broker has nearly all events.
        """
        new, now_s = None, time.monotonic()
        if now_s < self._refused_until_s:
            return None
        if self._folder is not None and now_s >= self._retry_s:
            new = self._new_file(self._folder, needed)
            if new is None:
                self._size = FIRST_BYTES
                self._retry_s = now_s + RETRY_S
        if new is None:
            new = self._new_memory(needed, self._memory_max - in_memory)
        if new is None:
            self._refused_until_s = now_s + REFUSAL_S
        else:
            size_max = STEADY_BYTES if keeps_up else SEGMENT_BYTES
            self._size = min(self._size * GROWTH, size_max)
        return new

    def save(self, segment: Segment) -> bool:
        """Write a segment without a file to one; False if disk or bound refuse."""
        folder = self._folder
        if folder is None or segment.end > self._bytes_max - bytes_in(folder):
            return False
        try:
            owner = Owner.new(folder, self._name)
        except OSError:
            return False
        try:
            segment.save(owner.segment_path(1))
        except OSError:
            return False
        finally:
            owner.remove()
        return True

    def detach(self) -> Owner | None:
        """Give up the files, and return their lock; later segments have another one."""
        owner, self._owner = self._owner, None
        return owner

    def release(self) -> None:
        """Close the lock in a forked child: it is the parent's."""
        if self._owner is not None:
            self._owner.release()

    def _new_file(self, folder: Path, needed: int) -> Segment | None:
        room = self._bytes_max - bytes_in(folder)
        if needed > room:
            self.refusal = "the spool and the queue are full"
            return None
        part = max(FIRST_BYTES, room // ROOM_PARTS)
        size = max(needed, min(self._size, part, room))
        try:
            return Segment.create(self._next_path(folder), _pages(size))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self.refusal = f"cannot write to the spool in {folder}: {reason}"
            if isinstance(error, FileNotFoundError):
                # The folder was removed, and the lock with it.
                self.release()
                self._owner = None
            return None

    def _new_memory(self, needed: int, room: int) -> Segment | None:
        if needed > room:
            return None
        size = max(needed, min(self._size, MEMORY_SEGMENT_BYTES, room))
        try:
            return Segment.in_memory(_pages(size))
        except OSError:
            return None

    def _next_path(self, folder: Path) -> Path:
        """Return the path of the next segment.

        Raises:
            OSError: the folder cannot be written.
        """
        owner = self._owner
        if owner is None:
            new = Owner.new(folder, self._name)
            # Another thread, or a signal handler, may have created one meanwhile; this
            # line is not interrupted, since it calls nothing.
            owner = self._owner = self._owner or new
            if owner is not new:
                new.remove()
        return owner.segment_path(next(self._numbers))


def _pages(size: int) -> int:
    return (size + 4095) & ~4095
