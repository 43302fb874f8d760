"""The position in a file, and whether the file still is the one that was read."""

import os
from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from sources.transcripts.options import Options

# Bytes at the beginning, and before the position, that must not have changed.
PROOF_BYTES = 1024
DIGEST_BYTES = 12
# Marks that are kept of files that are not followed now.
KEPT_MAX = 10_000


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How far a file was read, up to the end of a line.

    device, inode: of the file; one that is renamed keeps them.
    path: digest of its path, which may be private.
    offset: bytes of the lines whose events were sent.
    proof: of the bytes before the offset.
    size, mtime_ns: of the file when it was read last.
    options: digest of what the user gave for all events.
    since_s: only events from then on were sent; None: all.
    """

    device: int
    inode: int
    path: str
    offset: int
    proof: str
    size: int
    mtime_ns: int
    options: str
    since_s: float | None

    def holds_for(self, options: Options) -> bool:
        """Whether what was sent is what would be sent with these options."""
        digest, since_s = chosen(options)
        if self.options != digest:
            return False
        return self.since_s is None or (since_s is not None and since_s >= self.since_s)


class Marks:
    """Marks of files that are not followed now: of other folders, or gone."""

    def __init__(self, marks: Iterable[Mark]) -> None:
        self._by_key: dict[tuple[int, int], Mark] = {}
        self._by_path: dict[str, Mark] = {}
        for mark in marks:
            self.put(mark)

    def put(self, mark: Mark) -> None:
        """Keep the mark of a file, as it may come back."""
        self._by_key[mark.device, mark.inode] = mark
        self._by_path[mark.path] = mark

    def take(self, key: tuple[int, int], path: str, options: Options) -> Mark | None:
        """Return the mark of a file, and keep it no longer.

        A file that was replaced or copied has another inode and the same path.
        """
        mark = self._by_key.get(key)
        if mark is None and self._by_path:
            mark = self._by_path.get(path_digest(path))
        if mark is None:
            return None
        self._by_key.pop((mark.device, mark.inode), None)
        self._by_path.pop(mark.path, None)
        return mark if mark.holds_for(options) else None

    def kept(self) -> list[Mark]:
        """Return the marks of the files that were written last."""
        marks = self._by_key.values()
        if len(marks) <= KEPT_MAX:
            return list(marks)
        return sorted(marks, key=lambda mark: -mark.mtime_ns)[:KEPT_MAX]


def chosen(options: Options) -> tuple[str, float | None]:
    """Return what a mark has of the options: their digest, and the time of `since`."""
    given = (options.agent, options.namespace, options.user)
    since = options.since
    since_s = None if since is None else since.timestamp()
    return _digest(msgspec.json.encode(given)), since_s


def path_digest(path: str) -> str:
    """Return what a mark has of a path."""
    return _digest(os.fsencode(path))


def proof_of(descriptor: int, offset: int) -> str:
    """Return a digest of the first bytes of a file, and of those before an offset.

    A file that only grew has the same one. A tool that appends lines and changes one
    in the middle in place, with both ends as they were, would not be noticed.

    Raises:
        OSError: the file cannot be read.
    """
    size = min(offset, PROOF_BYTES)
    head = os.pread(descriptor, size, 0)
    tail = os.pread(descriptor, size, offset - size)
    return _digest(b"%d:%b%b" % (len(head), head, tail))


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=DIGEST_BYTES).hexdigest()
