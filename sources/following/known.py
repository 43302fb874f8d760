"""The files that were found, and the marks of those that are away."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from sources.following.file import Followed
from sources.following.mark import Mark, Marks
from sources.following.places import Place
from sources.following.scan import Found, FoundFile
from sources.transcripts.options import Options

# Files whose state is kept in memory.
HELD_MAX = 1_000
# Scans in which a file is not found until it is forgotten: it may be between folders.
MISSED_SCANS = 3

Key = tuple[int, int]


class KnownFiles:
    """Knows files from one scan to the next one, also if they are renamed."""

    def __init__(
        self, options: Options, marks: Iterable[Mark], started: datetime
    ) -> None:
        """Know no file yet.

        Args:
            options: what the user gave.
            marks: what an earlier process has read.
            started: when this process started.
        """
        self.files: dict[Key, Followed] = {}
        self._options, self._scanned = options, started
        self._marks = Marks(marks)
        self._missed: dict[Key, int] = {}

    def compare(
        self, found: Found, began: datetime
    ) -> Iterator[tuple[Followed, FoundFile]]:
        """Yield the files that have changed since they were read last.

        Args:
            found: what a scan has found.
            began: when the scan began.
        """
        for key, one in found.items():
            file = self.files.get(key)
            if file is None:
                file = self.files[key] = self._new(key, one.path, one.place)
            file.path = one.path
            self._missed.pop(key, None)
            if file.has_changed(one.info):
                yield file, one
        self._scanned = began

    def _new(self, key: Key, path: str, place: Place) -> Followed:
        """Return a file that was not found by the scan before.

        Lines that were written before that scan may have been sent: the file may have
        been away, or be a copy.
        """
        file = Followed(path, key, self._options, self._scanned, place.name)
        mark = self._marks.take(key, path, self._options)
        if mark is not None:
            file.adopt(mark)
        return file

    def drop(self, found: Found, is_needed: Callable[[Key], bool]) -> list[Key]:
        """Forget files that several complete scans did not find; return which."""
        dropped = []
        for key in self.files.keys() - found.keys():
            self._missed[key] = self._missed.get(key, 0) + 1
            if self._missed[key] >= MISSED_SCANS and not is_needed(key):
                del self._missed[key]
                file = self.files.pop(key)
                file.close()
                if file.offset:
                    self._marks.put(file.mark())
                dropped.append(key)
        return dropped

    def marks(self) -> list[Mark]:
        """Return the positions of all files, also of those that are away."""
        # A file of no known format is looked at again by the next process.
        marks = [file.mark() for file in self.files.values() if file.offset]
        return [*marks, *self._marks.kept()]


class Held:
    """The files whose state is in memory."""

    def __init__(self) -> None:
        """Begin without any."""
        self._files: OrderedDict[Key, Followed] = OrderedDict()

    def add(self, file: Followed) -> None:
        """Note that a file was read."""
        self._files[file.key] = file
        self._files.move_to_end(file.key)

    def remove(self, key: Key) -> None:
        """Forget a file that is gone."""
        self._files.pop(key, None)

    def forget_some(self, is_needed: Callable[[Key], bool]) -> None:
        """Drop the state of files that were not read for the longest time."""
        for key in list(self._files)[: max(0, len(self._files) - HELD_MAX)]:
            if not is_needed(key):
                self._files.pop(key).forget()
