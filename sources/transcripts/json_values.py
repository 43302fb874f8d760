"""The JSON values of a stream: lines, elements of one array, or indented objects.

Values are cut out of the stream by their brackets and not decoded here, so that an
array of any size takes the memory of its largest element, and numbers keep their
digits. The brackets of a piece are found by NumPy: a parser that calls back for each
token is ten times slower, and what it returns had to be encoded again.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.lines import TooLong
from sources.transcripts.format import Container

# A value is held in memory as a whole. 256 MiB are a session of some days.
VALUE_BYTES_MAX = 2**28
_PIECE_BYTES = 2**20
_QUOTE, _BACKSLASH, _OPEN, _CLOSE = 1, 2, 3, 4
_CODES = np.zeros(256, np.uint8)
for _characters, _code in ((b'"', 1), (b"\\", 2), (b"{[", 3), (b"}]", 4)):
    _CODES[list(_characters)] = _code
_BETWEEN = b" \t\r\n,"
# Lines of which the layout is reported: enough to outvote some broken ones.
_LAYOUT_LINES = 50
_UNREADABLE = (ValueError, RecursionError)

Cut = tuple[int, bytes] | TooLong


@dataclass(frozen=True, slots=True)
class Layout:
    """How the values stand in a stream; `lines`: one in each line."""

    container: Container
    lines: bool


def layout_of(start: bytes) -> Layout:
    """Tell the layout from the first bytes of a stream."""
    line, _, rest = start.lstrip().partition(b"\n")
    several = bool(rest.strip())
    whole = several and (_is_value(line) or _are_values(rest))
    if line[:1] == b"[" and not whole:
        return Layout("array", lines=False)
    # A broken line of a file of lines does not end where an indented object continues.
    continues = line.rstrip().endswith((b"{", b"[", b",", b":"))
    indented = line[:1] == b"{" and several and not whole and continues
    return Layout("values", lines=not indented)


def _are_values(rest: bytes) -> bool:
    """Whether lines are JSON values, so that a broken first line is one of many."""
    lines = [line.strip() for line in rest.split(b"\n", _LAYOUT_LINES)[:_LAYOUT_LINES]]
    lines = [line for line in lines if line]
    if any(line[:1] in (b"]", b"}", b",") for line in lines):
        return False
    values = sum(line[:1] in (b"{", b"[") and _is_value(line) for line in lines)
    return 2 * values > len(lines)


def _is_value(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except _UNREADABLE:
        return False
    return True


def values_of(stream: io.BufferedReader, layout: Layout) -> Iterator[Cut]:
    """Yield each value with its number from 1, or the size of one that is too long.

    Lines that are no JSON are values too, and blank ones are not. Numbers of lines
    count blank lines.

    Raises:
        ValueError: the stream ends inside a value.
    """
    if layout.lines:
        return lines_of(stream, VALUE_BYTES_MAX)
    return _cut(stream, depth=1 if layout.container == "array" else 0)


def lines_of(stream: io.BufferedReader, bytes_max: int) -> Iterator[Cut]:
    """Yield each line that is not blank, without its line break."""
    number = 0
    while True:
        line = stream.readline(bytes_max + len(b"\r\n"))
        if not line:
            return
        number += 1
        ended = line.endswith(b"\n")
        size = len(line)
        if ended:
            line = line[:-1].removesuffix(b"\r")
        if len(line) <= bytes_max:
            if line and not line.isspace():
                yield number, line
            continue
        while not ended and (piece := stream.readline(_PIECE_BYTES)):
            size += len(piece)
            ended = piece.endswith(b"\n")
        yield TooLong(number, size)


@dataclass(slots=True)
class _Scan:
    """State between two pieces: inside a string or not, and how deep."""

    inside: bool = False
    depth: int = 0

    def ends(self, piece: bytes, base: int) -> list[int]:
        """Return the positions after the values that close to `base` in a piece.

        A negative number is the position after the bracket that closes the array.
        """
        codes = _CODES[np.frombuffer(piece, np.uint8)]
        at = np.flatnonzero(codes)
        if not len(at):
            return []
        kinds = codes[at]
        if (kinds == _BACKSLASH).any():
            at, kinds = _without_escaped(at, kinds)
        quotes = kinds == _QUOTE
        # A bracket is in a string if an odd number of quotes stand before it.
        inside = (np.cumsum(quotes) + self.inside) % 2 == 1
        self.inside = bool(inside[-1]) if len(inside) else self.inside
        outside = ~inside & (kinds >= _OPEN)
        brackets, at = kinds[outside], at[outside]
        steps = np.where(brackets == _OPEN, 1, -1)
        depths = np.cumsum(steps) + self.depth
        if len(depths):
            self.depth = int(depths[-1])
        closing = brackets == _CLOSE
        ends = at[closing & (depths == base)] + 1
        found: list[int] = ends.tolist()
        if base:
            found += [-int(p) - 1 for p in at[closing & (depths == base - 1)]]
        return found


def _without_escaped(
    at: NDArray[np.intp], kinds: NDArray[np.uint8]
) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Drop backslashes, and the quotes that an odd number of them stand before."""
    slashes = at[kinds == _BACKSLASH]
    begins = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
    lengths = np.diff(np.append(begins, len(slashes)))
    after = slashes[begins] + lengths
    escaped = after[lengths % 2 == 1]
    keep = (kinds != _BACKSLASH) & ~((kinds == _QUOTE) & np.isin(at, escaped))
    return at[keep], kinds[keep]


def _cut(stream: io.BufferedReader, depth: int) -> Iterator[Cut]:
    scan, number = _Scan(), 0
    held: list[bytes] = []
    size = 0
    started = not depth
    while piece := _piece(stream):
        if not started:
            # The bracket of the array itself.
            _, bracket, piece = piece.partition(b"[")
            if not bracket:
                continue
            scan.depth, started = 1, True
        begin = 0
        for end in scan.ends(piece, depth):
            if end < 0:
                rest = b"".join(held) + piece[begin : -end - 1]
                if rest.strip(_BETWEEN):
                    yield from _apart(number + 1, rest.strip(_BETWEEN))
                _check_end(piece[-end:], stream)
                return
            size += end - begin
            if size > VALUE_BYTES_MAX:
                number += 1
                yield TooLong(number, size)
            else:
                held.append(piece[begin:end])
                found = _apart(number + 1, b"".join(held).lstrip(_BETWEEN))
                yield from found
                number = found[-1][0]
            held, size, begin = [], 0, end
        size += len(piece) - begin
        if size <= VALUE_BYTES_MAX:
            held.append(piece[begin:])
        else:
            held = []
    rest = b"".join(held).strip(_BETWEEN)
    if depth or scan.depth or scan.inside:
        msg = f"it ends inside {'an array' if depth else 'a value'}"
        raise ValueError(msg)
    if rest:
        yield number + 1, rest


def _apart(number: int, raw: bytes) -> list[tuple[int, bytes]]:
    """Return a value, and apart from it the texts and numbers before it."""
    if raw[:1] in (b"{", b"["):
        return [(number, raw)]
    try:
        found = msgspec.json.decode(b"[" + raw + b"]", type=list[msgspec.Raw])
        values = [bytes(value) for value in found]
    except _UNREADABLE:
        # What is no JSON ends where the value begins that closes here.
        begins = min((p for p in map(raw.find, (b"{", b"[")) if p > 0), default=0)
        whole = begins and _is_value(raw[begins:])
        front = raw[:begins].strip(_BETWEEN)
        values = [front, raw[begins:]] if whole and front else [raw]
    return list(enumerate(values, number))


def _check_end(rest: bytes, stream: io.BufferedReader) -> None:
    """Refuse what follows an array: whose it is, cannot be reported any more."""
    while not rest.strip():
        if not (rest := stream.read(_PIECE_BYTES)):
            return
    msg = "more follows after its array"
    raise ValueError(msg)


def _piece(stream: io.BufferedReader) -> bytes:
    """Return the next bytes, not ending in a backslash: it may escape what follows."""
    piece = stream.read(_PIECE_BYTES)
    while piece.endswith(b"\\") and (more := stream.read(64)):
        piece += more
    return piece
