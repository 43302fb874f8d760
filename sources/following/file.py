"""One followed file: what was read of it, and the records of its new lines."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from re import compile as pattern

from sources.following.lines import SAMPLE_LINES, Made, SessionLines, recognized
from sources.following.mark import Mark, path_digest, proof_of
from sources.transcripts.json_values import VALUE_BYTES_MAX
from sources.transcripts.options import Options

# Bytes that are read at a time, between looks at other files.
PIECE_BYTES = 2**20
_ID_IN_NAME = pattern(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(slots=True)
class Followed:
    """A file, and the position in it.

    Attributes:
        path: its newest one.
        key: device and inode.
        cursor: bytes whose lines were read.
        offset: bytes whose events were all returned; those of lines before it are not
            returned again when the file is read again for its state.
        proofs: of the bytes before the cursor or, if it is less, the offset; and of
            those before the offset.
        searched: bytes in which no line ends after the cursor.
        size, mtime_ns: when it was read last, or as its mark says.
        found_ns: time of the last change that a scan found.
        is_read: all lines of that size were read.
        lines_read, too_long: numbers of lines whose events were returned, and of lines
            that are not read.
        ignored: its format is not known.
        doubtful: it was truncated, replaced or edited since this process read it.
        unsettled_s, read_s: when the first line after the offset was read, and the last
            one, by a monotonic clock; None without such lines.
    """

    path: str
    key: tuple[int, int]
    options: Options
    cursor: int = 0
    offset: int = 0
    proofs: tuple[str, str] = ("", "")
    size: int = -1
    mtime_ns: int = 0
    found_ns: int = 0
    is_read: bool = False
    searched: int = 0
    lines_read: int = 0
    too_long: int = 0
    ignored: bool = False
    doubtful: bool = False
    unsettled_s: float | None = None
    read_s: float = 0.0
    _lines: SessionLines | None = None
    _kept: list[Made] = field(default_factory=list)
    _descriptor: int | None = None

    @classmethod
    def at(cls, mark: Mark, path: str, options: Options) -> "Followed":
        """Return a file that an earlier process read up to a mark."""
        key = (mark.device, mark.inode)
        return cls(
            path, key, options, offset=mark.offset, proofs=(mark.proof, mark.proof),
            size=mark.size, mtime_ns=mark.mtime_ns, is_read=True,
        )  # fmt: skip

    def mark(self) -> Mark:
        """Return the position up to which all events were returned."""
        device, inode = self.key
        # A size that no file has lets the rest be read.
        is_level = self.is_read and self.cursor in (0, self.offset)
        return Mark(
            device, inode, path_digest(self.path), self.offset, self.proofs[1],
            self.size if is_level else -1, self.mtime_ns,
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
        self._lines, self.cursor, self.searched = None, 0, 0

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
            return [], False
        self._check(found, descriptor)
        self.size, self.mtime_ns = found.st_size, found.st_mtime_ns
        lines, more = self._next_lines(descriptor, found.st_size)
        self.is_read = not more
        if os.fstat(descriptor).st_size < self.searched:
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
        edited = found.st_size == self.size and found.st_mtime_ns != self.mtime_ns
        read = max(self.cursor, self.offset)
        shorter = found.st_size < read
        if not read:
            return
        if edited or shorter or proof_of(descriptor, read) != self.proofs[0]:
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

    def _next_lines(self, descriptor: int, size: int) -> tuple[list[bytes], bool]:
        """Return the lines that end in the next piece, and whether there are more."""
        # The start of a line may be another one than it was; a long one is not read
        # again each time that it grows.
        is_long = self.searched - self.cursor >= PIECE_BYTES
        start = self.searched if is_long else self.cursor
        # Up to the offset exactly: there the state is that of the mark.
        end = self.offset if self.cursor < self.offset else size
        piece = os.pread(descriptor, min(PIECE_BYTES, end - start), start)
        last = piece.rfind(b"\n") + 1
        self.searched = start + len(piece)
        if not last:
            return [], bool(piece) and self.searched < size
        begin, self_cursor = self.cursor, start + last
        if start > begin:
            if self_cursor - begin > VALUE_BYTES_MAX:
                self.too_long += 1
                first = piece.find(b"\n") + 1
                piece, begin = piece[first:last], start + first
            else:
                piece = os.pread(descriptor, self_cursor - begin, begin)
                last = len(piece)
        lines = piece[:last].split(b"\n")[:-1]
        self.cursor = self.searched = self_cursor
        if begin == 0 and lines:
            lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
        return [line.removesuffix(b"\r") for line in lines], self.cursor < size

    def _records(self, lines: list[bytes], descriptor: int) -> Iterator[Made]:
        if not lines:
            return
        if self._lines is None and not self._begin(lines):
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
        """Recognize the format; if it is not known yet, wait for more lines."""
        follow = recognized(lines[:SAMPLE_LINES])
        if follow is None:
            self.ignored = len(lines) >= SAMPLE_LINES
            self.cursor = 0
            return False
        named = _ID_IN_NAME.search(Path(self.path).name)
        options = replace(
            self.options,
            session=named.group() if named else None,
            file_time=datetime.fromtimestamp(self.mtime_ns / 1e9, UTC),
        )
        self._lines = SessionLines(follow, options)
        return True
