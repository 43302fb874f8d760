"""Where new segments of this process lie: in files, or else in memory."""

import itertools
import time
from pathlib import Path

from semloop.agent.spool.folder import Lock, Owner, bytes_in
from semloop.agent.spool.segment import Segment
from semloop.agent.spool.storing import put, save

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
        obstacle: why the disk refused the last file; None if it did not.
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
        self.obstacle: str | None = None
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
        now_s = time.monotonic()
        if now_s < self._refused_until_s:
            return None
        new = self.new_file(needed)
        if new is None:
            new = self._new_memory(needed, self._memory_max - in_memory)
        if new is None:
            self._refused_until_s = now_s + REFUSAL_S
        else:
            size_max = STEADY_BYTES if keeps_up else SEGMENT_BYTES
            self._size = min(self._size * GROWTH, size_max)
        return new

    def new_file(self, needed: int) -> Segment | None:
        """Return a new segment in a file; None if there can be none now.

        After a failure, further calls cost nothing for `RETRY_S`.
        """
        now_s = time.monotonic()
        if self._folder is None or now_s < self._retry_s:
            return None
        number = next(self._numbers)
        new = self._new_file(self._folder, needed, number)
        if new is None:
            self._size = FIRST_BYTES
            self._retry_s = now_s + RETRY_S
        else:
            self.obstacle = None
            new.number = number
        return new

    def put(self, segment: Segment) -> bool:
        """Give a segment without a file one; False if disk or bound refuse.

        After a refusal, further calls cost nothing for `RETRY_S`.
        """
        folder, now_s = self._folder, time.monotonic()
        if folder is None or now_s < self._retry_s:
            return False
        if segment.end > self._bytes_max - bytes_in(folder):
            self._full(folder)
            self._retry_s = now_s + RETRY_S
            return False
        try:
            put(segment, self._path(folder, segment.number))
        except OSError as error:
            self._refused(folder, error)
            self._retry_s = now_s + RETRY_S
            return False
        return True

    def keep_lock(self) -> Lock:
        """Lock the files again if the host has closed the lock.

        If they are not this process's any more, the next file has another lock.
        """
        if self._owner is None:
            return Lock.HELD
        lock = self._owner.keep()
        if lock in {Lock.TAKEN, Lock.REMOVED}:
            self.release()
            self._owner = None
        return lock

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
            save(segment, owner.segment_path(1))
        except OSError:
            return False
        finally:
            owner.remove()
        return True

    def owns(self, segment: Segment) -> bool:
        """Return False if the lock was lost or given up after a file was created."""
        owner, path = self._owner, segment.path
        if path is None:
            return True
        return owner is not None and path.name.startswith(f"{owner.stem}.")

    def detach(self) -> Owner | None:
        """Give up the files, and return their lock; later segments have another one."""
        owner, self._owner = self._owner, None
        return owner

    def release(self) -> None:
        """Close the lock in a forked child: it is the parent's."""
        if self._owner is not None:
            self._owner.release()

    def _new_file(self, folder: Path, needed: int, number: int) -> Segment | None:
        room = self._bytes_max - bytes_in(folder)
        if needed > room:
            self._full(folder)
            return None
        part = max(FIRST_BYTES, room // ROOM_PARTS)
        size = max(needed, min(self._size, part, room))
        try:
            return Segment.create(self._path(folder, number), _pages(size))
        except OSError as error:
            self._refused(folder, error)
            return None

    def _full(self, folder: Path) -> None:
        self.refusal = "the spool and the queue are full"
        self.obstacle = f"the spool in {folder} is full"

    def _refused(self, folder: Path, error: OSError) -> None:
        # A removed folder is left to `keep_lock`: this may be any thread.
        self.refusal = self.obstacle = refusal_of(folder, error)

    def _new_memory(self, needed: int, room: int) -> Segment | None:
        if needed > room:
            return None
        size = max(needed, min(self._size, MEMORY_SEGMENT_BYTES, room))
        try:
            new = Segment.in_memory(_pages(size))
        except OSError:
            return None
        new.number = next(self._numbers)
        return new

    def _path(self, folder: Path, number: int) -> Path:
        """Return the path of a segment.

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
        return owner.segment_path(number)


def refusal_of(folder: Path, error: OSError) -> str:
    """Return why a file cannot be written."""
    reason = error.strerror or type(error).__name__
    return f"cannot write to the spool in {folder}: {reason}"


def _pages(size: int) -> int:
    return (size + 4095) & ~4095
