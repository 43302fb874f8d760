"""Cuts what is new in a file into lines, a piece at a time."""

import os
from dataclasses import dataclass

from sources.following.lines import is_object
from sources.following.mark import proof_of
from sources.transcripts.json_values import VALUE_BYTES_MAX

# Bytes that are read at a time, between looks at other files.
PIECE_BYTES = 2**20


@dataclass(slots=True)
class Pieces:
    """The position in a file.

    Attributes:
        cursor: bytes whose lines were read.
        searched: bytes in which no line ends after the cursor.
        proof: of these bytes, if they are many.
        too_long: number of lines that are not read.
    """

    cursor: int = 0
    searched: int = 0
    proof: str = ""
    too_long: int = 0

    def restart(self) -> None:
        """Begin at the beginning."""
        self.cursor = self.searched = 0

    def check(self, descriptor: int, size: int) -> None:
        """Search for the end of a line again if the file was truncated meanwhile."""
        if self.searched > self.cursor and (
            size < self.searched or self._proof(descriptor) != self.proof
        ):
            self.searched = self.cursor

    def next_lines(
        self, descriptor: int, size: int, offset: int
    ) -> tuple[list[bytes], bool]:
        """Return the lines that end in the next piece, and whether there are more.

        Args:
            descriptor: of the file.
            size: of the file.
            offset: where a piece must end: there the state is that of a mark.
        """
        # The start of a line may be another one than it was; a long one is not read
        # again each time that it grows.
        is_long = self.searched - self.cursor >= PIECE_BYTES
        start = self.searched if is_long else self.cursor
        end = offset if self.cursor < offset else size
        piece = os.pread(descriptor, min(PIECE_BYTES, end - start), start)
        last = piece.rfind(b"\n") + 1
        reached = start + len(piece)
        more = bool(piece) and reached < size
        if reached == end == offset:
            last = len(piece)  # The last line may have no end: it was read so.
        if not last:
            self.searched = reached
            self.proof = self._proof(descriptor)
            return [], more
        begin, cursor = self.cursor, start + last
        if start > begin:
            if cursor - begin > VALUE_BYTES_MAX:
                self.too_long += 1
                first = piece.find(b"\n") + 1
                piece, begin = piece[first:last], start + first
            else:
                piece = os.pread(descriptor, cursor - begin, begin)
                last = len(piece)
        self.cursor = self.searched = cursor
        return _split(piece[:last], begin), more

    def last_line(self, descriptor: int, size: int) -> list[bytes]:
        """Return what follows the last end of a line, if it is a complete object."""
        begin = self.cursor
        if not 0 < size - begin <= VALUE_BYTES_MAX:
            return []
        rest = os.pread(descriptor, size - begin, begin)
        lines = _split(rest, begin)
        if len(rest) < size - begin or not all(map(is_object, lines)):
            return []
        self.cursor = self.searched = size
        return lines

    def _proof(self, descriptor: int) -> str:
        if self.searched - self.cursor < PIECE_BYTES:
            return ""  # They are read again anyway.
        return proof_of(descriptor, self.searched)


def _split(data: bytes, begin: int) -> list[bytes]:
    """Return the lines of some bytes, which begin there in the file."""
    if begin == 0:
        data = data.removeprefix(b"\xef\xbb\xbf")
    lines = data.removesuffix(b"\n").split(b"\n")
    return [line.removesuffix(b"\r") for line in lines]
