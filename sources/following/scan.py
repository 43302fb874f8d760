"""Finds the files of places, and looks at those that grow more often than at others.

There is no notification of changes: network file systems and many containers have
none, so that polling must be cheap anyway. A look at a file costs 2 microseconds.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence

from sources.following.places import Place

Found = dict[tuple[int, int], tuple[str, os.stat_result]]

# Pause between two scans of all folders. It grows with their cost, up to a bound: a
# line is read within 5 seconds.
SCAN_S, SCAN_MAX_S = 1.0, 3.0
# Scans may take this part of one core.
COST_SHARE = 0.007
# Folders below each other that are searched: links may form a circle.
DEPTH_MAX = 20


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

    def due(self) -> bool:
        """Whether the next scan is due."""
        return self._clock() >= self._next_s

    def files(self) -> Found:
        """Return all files, by device and inode."""
        began_s = time.thread_time()
        found: Found = {}
        for place in self._places:
            for path, info in _files_of(place, os.fspath(place.folder), 0):
                found.setdefault((info.st_dev, info.st_ino), (path, info))
        cost_s = time.thread_time() - began_s
        pause_s = min(max(SCAN_S, cost_s / COST_SHARE), SCAN_MAX_S)
        self._next_s = self._clock() + pause_s
        return found


def _files_of(
    place: Place, folder: str, depth: int
) -> Iterator[tuple[str, os.stat_result]]:
    try:
        entries = os.scandir(folder)
    except OSError:  # removed meanwhile, or not ours
        return
    with entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if depth < DEPTH_MAX:
                        yield from _files_of(place, entry.path, depth + 1)
                elif place.matches(entry.name) and entry.is_file():
                    yield entry.path, entry.stat()
            except OSError:
                continue
