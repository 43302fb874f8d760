"""Follows all files: reads what is new, the newest file first.

Unit of parallelism: one process for a lake; a second one sends nothing twice, but
reads all again. Guarantee: each line that stood for 5 seconds while this runs becomes
its events. What may have been sent before is sent again with a header, by which
`archive` looks up its id.
"""

import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.lines import Record
from sources.following.file import Followed
from sources.following.lines import Made
from sources.following.mark import Mark, path_digest
from sources.following.places import Place
from sources.following.scan import Found, Scan
from sources.transcripts.events import LINE_BYTES_MAX
from sources.transcripts.options import Options

# What an answer costs may stand in the next line, and a result soon after its call: so
# long after the last line nothing more is expected, and after the first one not waited.
QUIET_S, WAIT_S = 0.5, 1.5
# A file that was written earlier is not written to now.
OLD_S = 5.0
# Files that grew within this time are looked at more often than at each scan.
HOT_S, HOT_MAX = 600.0, 64
# Files whose state is kept in memory.
HELD_MAX = 1_000
# Files with unread lines that are kept open, for the case that they are deleted.
OPEN_MAX = 4_000
# Scans in which a file is not found until it is forgotten: it may be between folders.
MISSED_SCANS = 3

# Takes a record; `again`: it may have been sent before. False: there is no space now.
Send = Callable[[Record, bool], bool]


@dataclass(slots=True)
class Counts:
    """What was done since the start."""

    lines: int = 0
    events: int = 0
    dead_letters: int = 0
    too_long: int = 0


class Follower:
    """The files of some places, and what is to be done with them."""

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
        self.counts = Counts()
        self.files: dict[tuple[int, int], Followed] = {}
        self._scan = Scan(places, clock)
        self._options, self._send, self._clock, self._now = options, send, clock, now
        self._started = now()
        self._marks = {(mark.device, mark.inode): mark for mark in marks}
        self._pending: dict[tuple[int, int], Followed] = {}
        self._order: list[tuple[int, int]] = []
        self._unsettled: dict[tuple[int, int], Followed] = {}
        self._held: OrderedDict[tuple[int, int], Followed] = OrderedDict()
        self._hot: dict[tuple[int, int], float] = {}
        self._missed: dict[tuple[int, int], int] = {}
        self._outbox: deque[Made] = deque()
        self._doubts: deque[bool] = deque()

    @property
    def waiting(self) -> int:
        """Number of files with lines that were not read yet."""
        return len(self._pending)

    @property
    def is_level(self) -> bool:
        """Whether all that was found is read and sent."""
        return not (self._pending or self._unsettled or self._outbox)

    @property
    def is_blocked(self) -> bool:
        """Whether nothing can be sent now."""
        return bool(self._outbox)

    def look(self, *, everywhere: bool = False) -> None:
        """Look for files that have changed: all when it is time to, else hot ones."""
        if everywhere or self._scan.due():
            self._compare(self._scan.files())
            return
        now_s = self._clock()
        for key, until_s in list(self._hot.items()):
            file = self.files.get(key)
            if file is None or now_s > until_s:
                del self._hot[key]
                continue
            try:
                found = os.stat(file.path)
            except OSError:
                continue
            if (found.st_dev, found.st_ino) == key and file.has_changed(found):
                self._add(file, found)

    def work(self) -> bool:
        """Send what waits, or read one piece; return whether there is more to do."""
        if not self._sent():
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
                self._put(file, file.settle())
        self._forget_some()
        self._sent()

    def marks(self) -> list[Mark]:
        """Return the positions of all files, up to which all events were sent.

        Only while nothing waits to be sent.
        """
        assert not self._outbox
        return [file.mark() for file in self.files.values() if not file.ignored]

    def close(self) -> None:
        """Close all files."""
        for file in self.files.values():
            file.close()

    def _compare(self, found: Found) -> None:
        if not self.files and self._marks:
            self.files = _adopted(self._marks, found, self._options)
            self._marks = {}
        for key, (path, info) in found.items():
            file = self.files.get(key)
            if file is None:
                file = self.files[key] = Followed(path, key, self._options)
            file.path = path
            self._missed.pop(key, None)
            if file.has_changed(info):
                self._add(file, info)
        for key in self.files.keys() - found.keys():
            self._missed[key] = self._missed.get(key, 0) + 1
            gone = self._missed[key] >= MISSED_SCANS
            if gone and key not in self._pending and key not in self._unsettled:
                self._drop(key)
        self._order = sorted(self._pending, key=lambda k: self._pending[k].found_ns)

    def _add(self, file: Followed, found: os.stat_result) -> None:
        """Note that a file has lines to read; keep it open, as it may be deleted."""
        if file.ignored and found.st_size >= file.size:
            return
        file.ignored = False
        file.found_ns = found.st_mtime_ns
        if file.key not in self._pending:
            self._pending[file.key] = file
            self._order.append(file.key)
        if len(self._pending) < OPEN_MAX:
            try:
                file.open()
            except OSError:
                self._done(file.key)

    def _read(self, file: Followed) -> None:
        key = file.key
        try:
            made, more = file.read()
        except OSError:
            made, more = [], False  # a later scan finds it again
        self._held[key] = file
        self._held.move_to_end(key)
        now_s = self._clock()
        if file.cursor > file.offset:
            file.read_s = now_s
            if file.unsettled_s is None:
                file.unsettled_s = now_s
            self._unsettled[key] = file
        else:
            self._unsettled.pop(key, None)
        self._put(file, made)
        self.counts.lines += file.lines_read
        self.counts.too_long += file.too_long
        file.lines_read = file.too_long = 0
        if not more:
            self._done(key)
            self._hot[key] = now_s + HOT_S
            while len(self._hot) > HOT_MAX:
                del self._hot[min(self._hot, key=self._hot.__getitem__)]

    def _done(self, key: tuple[int, int]) -> None:
        file = self._pending.pop(key, None)
        if file is not None:
            file.close()

    def _drop(self, key: tuple[int, int]) -> None:
        self.files.pop(key).close()
        for known in (self._held, self._hot, self._missed):
            known.pop(key, None)

    def _put(self, file: Followed, made: list[Made]) -> None:
        now = self._now()
        for one in made:
            if len(one.record.value) > LINE_BYTES_MAX:
                self.counts.too_long += 1
                continue
            # An event that is older than this process may have been sent by another.
            fresh = one.at is not None and self._started <= one.at <= now
            self._outbox.append(one)
            self._doubts.append(file.doubtful or not fresh)
            if one.record.is_event:
                self.counts.events += 1
            else:
                self.counts.dead_letters += 1

    def _sent(self) -> bool:
        """Send what waits; return False if there is no space for all."""
        while self._outbox:
            if not self._send(self._outbox[0].record, self._doubts[0]):
                return False
            self._outbox.popleft()
            self._doubts.popleft()
        return True

    def _forget_some(self) -> None:
        """Drop the state of files that were not read for the longest time."""
        for key in list(self._held)[: max(0, len(self._held) - HELD_MAX)]:
            if key not in self._pending and key not in self._unsettled:
                self._held.pop(key).forget()


def _adopted(
    marks: Mapping[tuple[int, int], Mark], found: Found, options: Options
) -> dict[tuple[int, int], Followed]:
    """Return files that an earlier process has read, by inode or by path."""
    by_path = {mark.path: mark for mark in marks.values()}
    files = {}
    for key, (path, _) in found.items():
        mark = marks.get(key) or by_path.get(path_digest(path))
        if mark is not None:
            file = files[key] = Followed.at(mark, path, options)
            file.key = key
    return files
