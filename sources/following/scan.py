"""Finds the files of places, and looks at those that grow more often than at others.

There is no notification of changes: network file systems and many containers have
none, so that polling must be cheap anyway. A look at a file costs 2 microseconds.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sources.following.places import Place


class FoundFile(NamedTuple):
    """A path, what it is, and the place that it was found in."""

    path: str
    info: os.stat_result
    place: Place


Found = dict[tuple[int, int], FoundFile]

# Pause between two scans of all folders. It grows with their cost, up to a bound: a
# line is read within 5 seconds.
SCAN_S, SCAN_MAX_S = 1.0, 3.0
# Scans may take this part of one core.
COST_SHARE = 0.007
# Files that grew within this time are looked at more often than at each scan.
HOT_S, HOT_MAX = 600.0, 64
# Folders below each other that are searched: links may form a circle.
DEPTH_MAX = 20


class Hot:
    """The files that grew lately."""

    def __init__(self) -> None:
        """Begin without any."""
        self._until: dict[tuple[int, int], float] = {}

    def add(self, key: tuple[int, int], now_s: float) -> None:
        """Note that a file has grown; only the last ones are kept."""
        until = self._until
        until[key] = now_s + HOT_S
        while len(until) > HOT_MAX:
            del until[min(until, key=until.__getitem__)]

    def keys(self, now_s: float) -> list[tuple[int, int]]:
        """Return the files to look at."""
        for key in [key for key, end_s in self._until.items() if now_s > end_s]:
            del self._until[key]
        return list(self._until)

    def remove(self, key: tuple[int, int]) -> None:
        """Forget a file."""
        self._until.pop(key, None)


class Scan:
    """Scans all folders when it is time to."""

    def __init__(
        self,
        places: Sequence[Place],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Scan nothing yet.

        Args:
            places: what to search.
            clock: in seconds, monotonic.
        """
        self._places = places
        self._clock = clock
        self._next_s = 0.0
        self.is_complete = True

    def due(self) -> bool:
        """Whether the next scan is due."""
        return self._clock() >= self._next_s

    def files(self) -> Found:
        """Return all files, by device and inode.

        `is_complete` then tells whether all folders that exist could be read.
        """
        self.is_complete = True
        began_s = time.thread_time()
        found: Found = {}
        for place in self._places:
            for path, info in self._files_of(place, os.fspath(place.folder), 0):
                key = (info.st_dev, info.st_ino)
                found.setdefault(key, FoundFile(path, info, place))
        cost_s = time.thread_time() - began_s
        pause_s = min(max(SCAN_S, cost_s / COST_SHARE), SCAN_MAX_S)
        self._next_s = self._clock() + pause_s
        return found

    def _files_of(
        self, place: Place, folder: str, depth: int
    ) -> Iterator[tuple[str, os.stat_result]]:
        try:
            entries = os.scandir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError:  # not ours, no more open files, or a broken file system
            self.is_complete = False
            return
        with entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if depth < DEPTH_MAX:
                            yield from self._files_of(place, entry.path, depth + 1)
                    elif place.matches(entry.name) and entry.is_file():
                        yield entry.path, entry.stat()
                except OSError:
                    continue
