"""Follows all files: reads what is new, the newest file first.

Unit of parallelism: one process for a lake; a second one sends nothing twice, but
reads all again. Guarantee: each line that stood for 5 seconds while this runs becomes
its events. What may have been sent before is sent again with a header, by which
`archive` looks up its id.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from sources.following.file import Followed
from sources.following.known import Held, KnownFiles
from sources.following.mark import Mark
from sources.following.outbox import Outbox, Send
from sources.following.places import Place
from sources.following.scan import Hot, Scan
from sources.transcripts.options import Options

# What an answer costs may stand in the next line, and a result soon after its call: so
# long after the last line nothing more is expected, and after the first one not waited.
QUIET_S, WAIT_S = 0.5, 1.5
# A file that was written earlier is not written to now.
OLD_S = 5.0
# Files with unread lines that are kept open, for the case that they are deleted, if
# the system permits it.
OPEN_MAX = 4_000
# Until then the last line of a file may be without its end.
STOOD_S = 5.0


class Follower:
    """The files of some places, and what is to be done with them.

    Attributes:
        counts: what was done since the start.
        files: all that were found, by device and inode.
        open_max: files that may be open at the same time.
    """

    def __init__(
        self,
        places: Sequence[Place],
        options: Options,
        marks: Iterable[Mark],
        send: Send,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Read nothing yet.

        Args:
            places: folders.
            options: what the user gave.
            marks: what an earlier process has read.
            send: takes the records.
            clock: in seconds, monotonic.
            now: the time, which the times of lines are compared with.
        """
        self._scan = Scan(places, clock)
        self._clock, self._now = clock, now
        self.open_max = OPEN_MAX
        self._known = KnownFiles(options, marks, now())
        self.files = self._known.files
        self._outbox = Outbox(send)
        self.counts = self._outbox.counts
        self._pending: dict[tuple[int, int], Followed] = {}
        self._order: list[tuple[int, int]] = []
        self._unsettled: dict[tuple[int, int], Followed] = {}
        self._open: set[tuple[int, int]] = set()
        self._rests: dict[tuple[int, int], float] = {}
        self._held = Held()
        self._hot = Hot()

    @property
    def waiting(self) -> int:
        """Number of files with lines that were not read yet."""
        return len(self._pending)

    @property
    def is_level(self) -> bool:
        """Whether all that was found is read and sent."""
        return not (self._pending or self._unsettled or self._outbox or self._rests)

    @property
    def is_blocked(self) -> bool:
        """Whether nothing can be sent now."""
        return bool(self._outbox)

    def look(self, *, everywhere: bool = False) -> None:
        """Look for files that have changed: all when it is time to, else hot ones."""
        if everywhere or self._scan.due():
            self._compare()
            return
        for key in self._hot.keys(self._clock()):
            file = self.files[key]
            try:
                found = os.stat(file.path)
            except OSError:
                continue
            if (found.st_dev, found.st_ino) == key and file.has_changed(found):
                self._add(file, found)

    def work(self) -> bool:
        """Send what waits, or read one piece; return whether there is more to do."""
        if not self._outbox.sent():
            return False
        while self._order:
            key = self._order[-1]
            file = self._pending.get(key)
            if file is None or file.ignored:
                self._order.pop()
                self._done(key)
                continue
            self._read(file)
            return True
        return False

    def settle(self, *, immediately: bool = False) -> None:
        """Send all events of files to which nothing was written for a moment."""
        now_s, wall_ns = self._clock(), self._now().timestamp() * 1e9
        for key, file in list(self._unsettled.items()):
            if key in self._pending and not immediately:
                continue
            assert file.unsettled_s is not None
            is_old = wall_ns - file.mtime_ns > OLD_S * 1e9
            quiet = now_s - file.read_s >= QUIET_S
            if immediately or is_old or quiet or now_s - file.unsettled_s >= WAIT_S:
                del self._unsettled[key]
                self._outbox.put(file, file.settle(), self._now())
        self._take_rests(now_s, wall_ns)
        self._held.forget_some(self._is_needed)
        self._outbox.sent()

    def marks(self) -> list[Mark]:
        """Return the positions of all files, up to which all events were sent.

        Only while nothing waits to be sent.
        """
        assert not self._outbox
        return self._known.marks()

    def close(self) -> None:
        """Close all files."""
        for file in self.files.values():
            file.close()

    def _compare(self) -> None:
        began = self._now()
        found = self._scan.files()
        for file, one in self._known.compare(found, began):
            self._add(file, one.info)
        if self._scan.is_complete:
            for key in self._known.drop(found, self._is_needed):
                self._hot.remove(key)
                self._held.remove(key)
        self._order = sorted(self._pending, key=lambda k: self._pending[k].found_ns)

    def _is_needed(self, key: tuple[int, int]) -> bool:
        return any(
            key in keys for keys in (self._pending, self._unsettled, self._rests)
        )

    def _take_rests(self, now_s: float, wall_ns: float) -> None:
        """Read files again whose last line has stood for long enough without an end."""
        for key, since_s in list(self._rests.items()):
            file = self.files[key]
            is_old = wall_ns - file.mtime_ns > STOOD_S * 1e9
            if key not in self._pending and (is_old or now_s - since_s >= STOOD_S):
                del self._rests[key]
                file.stood = True
                self._pend(file)

    def _add(self, file: Followed, found: os.stat_result) -> None:
        """Note that a file has lines to read; keep it open, as it may be deleted."""
        if file.ignored and found.st_size >= file.size:
            return
        file.ignored = False
        file.found_ns = found.st_mtime_ns
        self._pend(file)
        if len(self._open) < self.open_max:
            try:
                file.open()
            except OSError:
                self._done(file.key)
            else:
                self._open.add(file.key)

    def _pend(self, file: Followed) -> None:
        if file.key not in self._pending:
            self._pending[file.key] = file
            self._order.append(file.key)

    def _read(self, file: Followed) -> None:
        key = file.key
        try:
            made, more = file.read()
        except OSError:
            made, more = [], False  # a later scan finds it again
            file.rest = 0
        self._held.add(file)
        now_s = self._clock()
        if file.cursor > file.offset:
            file.read_s = now_s
            if file.unsettled_s is None:
                file.unsettled_s = now_s
            self._unsettled[key] = file
        else:
            self._unsettled.pop(key, None)
        self._outbox.put(file, made, self._now())
        if not more:
            self._rests.pop(key, None)
            if file.rest and not file.stood and not file.ignored:
                self._rests[key] = now_s
            file.stood = False
            self._done(key)
            self._hot.add(key, now_s)

    def _done(self, key: tuple[int, int]) -> None:
        file = self._pending.pop(key, None)
        if file is None:
            return
        # It may be deleted before its last line has stood.
        if key in self._rests and (
            key in self._open or len(self._open) < self.open_max
        ):
            self._open.add(key)
        else:
            self._open.discard(key)
            file.close()
