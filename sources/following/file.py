"""One followed file: what was read of it, and the records of its new lines."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from re import compile as pattern

from sources.following.lines import (
    Made,
    SessionLines,
    reader_of,
    recognized,
)
from sources.following.mark import Mark, chosen, path_digest, proof_of
from sources.following.pieces import PIECE_BYTES, Pieces
from sources.transcripts.options import Options

_ID_IN_NAME = pattern(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(slots=True)
class Followed:
    """A file, and the position in it.

    Attributes:
        path: its newest one.
        key: device and inode.
        pieces: the position up to which its lines were read, its cursor.
        offset: bytes whose events were all returned; those of lines before it are not
            returned again when the file is read again for its state.
        proofs: of the bytes before the cursor or, if it is less, the offset; and of
            those before the offset.
        rest: bytes after the last line that was read, if all was read.
        stood: the rest has stood long enough to be a line if it is complete.
        size, mtime_ns: when it was read last, or as its mark says.
        found_ns: time of the last change that a scan found.
        is_read: all lines of that size were read.
        lines_read: number of lines whose events were returned.
        ignored: its beginning is of no known format.
        doubtful: it was truncated, replaced or edited since this process read it.
        fresh_from: events after it were not sent before; it was not found before.
        tool: name of the format that its folder is for, or "".
        unsettled_s, read_s: when the first line after the offset was read, and the last
            one, by a monotonic clock; None without such lines.
    """

    path: str
    key: tuple[int, int]
    options: Options
    fresh_from: datetime
    tool: str = ""
    pieces: Pieces = field(default_factory=Pieces)
    offset: int = 0
    proofs: tuple[str, str] = ("", "")
    size: int = -1
    mtime_ns: int = 0
    found_ns: int = 0
    is_read: bool = False
    rest: int = 0
    stood: bool = False
    lines_read: int = 0
    ignored: bool = False
    doubtful: bool = False
    unsettled_s: float | None = None
    read_s: float = 0.0
    _lines: SessionLines | None = None
    _kept: list[Made] = field(default_factory=list)
    _descriptor: int | None = None

    def adopt(self, mark: Mark) -> None:
        """Begin at a mark: up to there the file was read before."""
        self.offset, self.proofs = mark.offset, (mark.proof, mark.proof)
        self.size, self.mtime_ns, self.is_read = mark.size, mark.mtime_ns, True

    @property
    def cursor(self) -> int:
        """Number of bytes whose lines were read."""
        return self.pieces.cursor

    @property
    def is_unknown(self) -> bool:
        """Whether nothing that was read of it is of a known format."""
        is_new = self.is_read and self.size > 0 and not (self.cursor or self.offset)
        return self.ignored or is_new

    def mark(self) -> Mark:
        """Return the position up to which all events were returned."""
        device, inode = self.key
        # A size that no file has lets the rest be read.
        is_level = self.is_read and not self.rest and self.cursor in (0, self.offset)
        return Mark(
            device, inode, path_digest(self.path), self.offset, self.proofs[1],
            self.size if is_level else -1, self.mtime_ns, *chosen(self.options),
        )  # fmt: skip

    def has_changed(self, found: os.stat_result) -> bool:
        """Whether a file differs from what was read last."""
        return (found.st_size, found.st_mtime_ns) != (self.size, self.mtime_ns)

    def open(self) -> None:
        """Open the file, so that it can be read after its tool has deleted it.

        Raises:
            OSError: it cannot be opened.
        """
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the file until it changes."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def forget(self) -> None:
        """Drop the state of the sessions; it is read again when the file changes."""
        self._lines = None
        self.pieces.restart()

    def read(self) -> tuple[list[Made], bool]:
        """Read the next piece.

        Returns:
            the records of its lines, and whether the file may have more.

        Raises:
            OSError: the file cannot be read.
        """
        self.open()
        assert self._descriptor is not None
        descriptor = self._descriptor
        found = os.fstat(descriptor)
        if (found.st_dev, found.st_ino) != self.key:
            self.close()  # The path is another file's now, which a scan finds.
            self.rest = 0
            return [], False
        self.stood = self.stood and not self.has_changed(found)
        self._check(found, descriptor)
        self.size, self.mtime_ns = found.st_size, found.st_mtime_ns
        pieces, size = self.pieces, found.st_size
        lines, more = pieces.next_lines(descriptor, size, self.offset)
        if self.stood and not more:
            lines += pieces.last_line(descriptor, size)
        self.rest = 0 if more else size - pieces.cursor
        if lines and self._lines is None and not self._begin(lines):
            lines, more = [], False  # until the file has changed
        self.is_read = not more
        if os.fstat(descriptor).st_size < pieces.searched:
            # It was truncated meanwhile; what was read may be of two files.
            self._restart()
            return self._taken(), True
        return [*self._taken(), *self._records(lines, descriptor)], more

    def settle(self) -> list[Made]:
        """Return the records of all lines that were read."""
        self.unsettled_s = None
        if self._lines is None or self.cursor <= self.offset:
            return []
        self.offset, self.proofs = self.cursor, (self.proofs[0], self.proofs[0])
        return list(self._lines.so_far())

    def _check(self, found: os.stat_result, descriptor: int) -> None:
        """Begin again if the bytes that were read are not the same any more."""
        self.pieces.check(descriptor, found.st_size)
        changed = found.st_size == self.size and found.st_mtime_ns != self.mtime_ns
        if not (read := max(self.cursor, self.offset)):
            return
        changed = changed or found.st_size < read
        if changed or proof_of(descriptor, read) != self.proofs[0]:
            self._restart()

    def _taken(self) -> list[Made]:
        kept, self._kept = self._kept, []
        return kept

    def _restart(self) -> None:
        # What was read before stays an event.
        self._kept += self.settle()
        self.forget()
        self.offset, self.proofs, self.ignored = 0, ("", ""), False
        self.doubtful, self.unsettled_s = True, None
        self.size, self.is_read = -1, False

    def _records(self, lines: list[bytes], descriptor: int) -> Iterator[Made]:
        if not lines:
            return
        assert self._lines is not None
        replayed = self.cursor <= self.offset
        for line in lines:
            made = self._lines.feed(line)
            if replayed:
                for _ in made:
                    pass
            else:
                yield from made
        if replayed:
            if self.cursor == self.offset:
                for _ in self._lines.so_far():
                    pass
        else:
            self.lines_read += len(lines)
        if self.cursor >= self.offset:
            self.proofs = proof_of(descriptor, self.cursor), self.proofs[1]

    def _begin(self, lines: list[bytes]) -> bool:
        """Recognize the format; if it is not known yet, wait for more lines.

        A file may begin with any number of lines of no sign, such as the summaries of
        earlier sessions. In a folder of one tool the folder is the sign in the end.
        """
        follow = recognized(lines)
        is_full = self.size >= PIECE_BYTES
        if follow is None and is_full:
            follow = reader_of(self.tool)
        if follow is None:
            self.ignored = is_full
            self.pieces.restart()
            return False
        given = _options_of(self.path, self.mtime_ns, self.options)
        self._lines = SessionLines(follow, given)
        return True


def _options_of(path: str, mtime_ns: int, options: Options) -> Options:
    """Return what the user gave, and what the file itself tells."""
    named = _ID_IN_NAME.search(Path(path).name)
    return replace(
        options,
        session=named.group() if named else None,
        file_time=datetime.fromtimestamp(mtime_ns / 1e9, UTC),
    )
