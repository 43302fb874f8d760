"""What processes left that have ended; each is sent by one of those that run."""

import contextlib
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from semloop.agent.spool.chain import Chain
from semloop.agent.spool.folder import Left, Owner, left_by_all, tidy
from semloop.agent.spool.reader import Dropped, Reader
from semloop.agent.spool.segment import Segment

# Pause between two searches for files of processes that have ended meanwhile.
SEARCH_S = 10.0


class Orphan:
    """The segments of an owner that has ended, locked by this process."""

    def __init__(self, owner: Owner, dropped: Dropped) -> None:
        """Open the segments that can be read."""
        self._owner = owner
        chain = Chain()
        try:
            paths = owner.segments()
        except BaseException:
            owner.release()
            raise
        for path in paths:
            with contextlib.suppress(OSError, ValueError):
                segment = Segment.adopt(path)
                segment.release()
                chain.add(segment)
        self.reader = Reader(chain, dropped, live=False)

    @property
    def is_held(self) -> bool:
        """False if the host has closed the lock: another process may have the files."""
        return self._owner.is_held

    def close(self) -> None:
        """Remove the files: every event was sent."""
        self.reader.remove()
        self._owner.remove()

    def release(self) -> None:
        """Leave the files to another process.

        What the broker acknowledges later is marked, but no file is removed.
        """
        self.reader.rewind()
        self._owner.release()


class Orphans:
    """Finds orphans, the oldest first; for one thread.

    One is open at a time, since each takes file descriptors of the host program.
    """

    def __init__(
        self, folder: Path | None, names: Sequence[str], dropped: Dropped
    ) -> None:
        """Search nothing yet.

        Args:
            folder: the folder of the spool.
            names: stand for brokers and topics.
            dropped: receives events that cannot be sent.
        """
        self._folder = folder
        self._names = names
        self._dropped = dropped
        self._found: deque[Left] = deque()
        self._searched_s: float | None = None

    @property
    def found(self) -> bool:
        """True if the last search found files that were not looked at yet."""
        return bool(self._found)

    def search(self) -> None:
        """Search, and find files of processes that ended a moment ago."""
        if self._folder is not None:
            self._searched_s = time.monotonic()
            tidy(self._folder)
            self._found.extend(left_by_all(self._folder, self._names))

    def next(self) -> Orphan | None:
        """Adopt the next one; None if there are no more now."""
        if self._folder is None:
            return None
        if not self._found:
            now_s = time.monotonic()
            if self._searched_s is not None and now_s - self._searched_s < SEARCH_S:
                return None
            self.search()
        while self._found:
            with contextlib.suppress(OSError):  # its owner lives
                return Orphan(
                    Owner(self._folder, self._found.popleft().stem), self._dropped
                )
        return None
