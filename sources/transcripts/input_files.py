"""Files, folders, patterns and stdin as streams of UTF-8, unpacked and decoded.

gzip and zstd are recognized by their first bytes, UTF-8 and UTF-16 by their mark.
"""

import codecs
import glob
import gzip
import importlib
import io
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from semloop.errors import ConfigError

STDIN = "-"
# Names of files of a folder that are read; others are no transcripts.
ENDINGS = (".jsonl", ".json", ".ndjson", ".traj")
PACKED = ("", ".gz", ".zst")
_NAMES = tuple(ending + packed for ending in ENDINGS for packed in PACKED)
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MARKS = (
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Enough for the first values of most files, from which the layout is reported.
HEAD_BYTES = 2**20
_PIECE_BYTES = 2**18
READ_ERRORS = (OSError, EOFError, zlib.error, ValueError)


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream of UTF-8 from its beginning, and its first bytes.

    `position` is that in the file itself, also in a packed one.
    """

    head: bytes
    stream: io.BufferedReader
    position: Callable[[], int]


def paths_of(given: Sequence[str]) -> list[str]:
    """Return the files that paths, folders and patterns name, each once.

    Raises:
        ConfigError: one of them names no file.
    """
    found: dict[str, None] = {}
    for path in given:
        if path == STDIN:
            found[path] = None
            continue
        names = _files_of(path)
        if not names:
            raise _nothing(path)
        found.update(dict.fromkeys(names))
    return list(found)


def skipped_of(given: Sequence[str]) -> list[str]:
    """Return the files of folders that are not read, by the end of their names."""
    return [
        name
        for path in given
        if path != STDIN and is_folder(path)
        for name in sorted(
            str(file) for file in Path(path).rglob("*") if file.is_file()
        )
        if not name.endswith(_NAMES)
    ]


def is_folder(path: str) -> bool:
    """Whether a path is that of a folder."""
    try:
        return Path(path).is_dir()
    except ValueError:
        return False  # A NUL in the name: opening it says so.


def _files_of(path: str) -> list[str]:
    try:
        if Path(path).is_dir():
            return sorted(
                str(file)
                for file in Path(path).rglob("*")
                if file.name.endswith(_NAMES) and file.is_file()
            )
        if not Path(path).exists() and glob.has_magic(path):
            names = glob.glob(path, recursive=True)
            return sorted(name for name in names if Path(name).is_file())
    except ValueError:
        pass  # A NUL in the name: opening it says so.
    return [path]


def _nothing(path: str) -> ConfigError:
    what = "is a folder without" if Path(path).is_dir() else "matches no"
    msg = f"{path!r} {what} files of transcripts."
    todo = f"Their names end in {', '.join(ENDINGS)}; give files of rows by name."
    return ConfigError(msg, todo)


def size_of(path: str) -> int | None:
    """Return the number of bytes that `position` will reach; None of a stream."""
    try:
        file = Path(path)
        return file.stat().st_size if path != STDIN and file.is_file() else None
    except (OSError, ValueError):
        return None


def time_of_file(path: str) -> datetime:
    """Return when a file was written last; of stdin, now."""
    try:
        if path != STDIN:
            return datetime.fromtimestamp(Path(path).stat().st_mtime, UTC)
    except (OSError, ValueError):
        pass
    return datetime.now(UTC)


@contextmanager
def opened(path: str) -> Iterator[Opened]:
    """Open a file or stdin; the caller turns `READ_ERRORS` by `unreadable`."""
    with ExitStack() as stack:
        if path == STDIN:
            stream = stack.enter_context(_stdin())
        else:
            stream = stack.enter_context(Path(path).open("rb"))
        position = stream.raw.tell if path != STDIN else (lambda: 0)
        text = _decoded(_unpacked(stream, stack))
        head, failure = _head(text)
        yield Opened(head, _after(head, text, failure), position)


def _unpacked(stream: io.BufferedReader, stack: ExitStack) -> io.BufferedReader:
    # A slow pipe may return one byte only; no JSON begins with these bytes.
    start = stream.peek(4)[:4]
    if start[:2] == _GZIP_MAGIC or start == _GZIP_MAGIC[:1]:
        packed = stack.enter_context(gzip.GzipFile(fileobj=stream))
        # One piece at a time, so that those before a damage are not lost.
        return io.BufferedReader(_Pieces(packed.read1), _PIECE_BYTES)
    if start == _ZSTD_MAGIC or (start and _ZSTD_MAGIC.startswith(start)):
        # Imported only for such files: it takes longer than reading a small one.
        pa = importlib.import_module("pyarrow")
        source = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")
        return io.BufferedReader(_Pieces(source.read), _PIECE_BYTES)
    return stream


def _decoded(stream: io.BufferedReader) -> io.BufferedReader:
    start = stream.peek(3)[:3]
    if start == codecs.BOM_UTF8:
        stream.read(3)
        return stream
    for mark, encoding in _MARKS:
        if start[:2] == mark:
            stream.read(2)
            decoder = codecs.getincrementaldecoder(encoding)()

            def read(size: int) -> bytes:
                while piece := stream.read(size):
                    if text := decoder.decode(piece):  # noqa: B023
                        return text.encode()
                return decoder.decode(b"", final=True).encode()  # noqa: B023

            return io.BufferedReader(_Pieces(read), _PIECE_BYTES)
    return stream


def _head(stream: io.BufferedReader) -> tuple[bytes, Exception | None]:
    """Read the first bytes, and why there are no more of them."""
    pieces, size = [], 0
    try:
        while size < HEAD_BYTES and (piece := stream.read1(HEAD_BYTES - size)):
            pieces.append(piece)
            size += len(piece)
    except READ_ERRORS as exc:
        return b"".join(pieces), exc
    return b"".join(pieces), None


def _after(
    head: bytes, stream: io.BufferedReader, failure: Exception | None
) -> io.BufferedReader:
    """Return a stream of the first bytes and all that follow."""
    pieces = iter((head,))

    def read(size: int) -> bytes:
        if piece := next(pieces, b""):
            return piece
        if failure is not None:
            raise failure
        return stream.read1(size)

    return io.BufferedReader(_Pieces(read), _PIECE_BYTES)


class _Pieces(io.RawIOBase):
    """A stream made of a function that returns the next bytes, none at the end."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = self._read(_PIECE_BYTES)
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)


@contextmanager
def _stdin() -> Iterator[io.BufferedReader]:
    """Open stdin as bytes; leave it open afterwards."""
    if sys.stdin is None:
        msg = "it is closed"
        raise OSError(msg)
    stream = sys.stdin.buffer
    if isinstance(stream, io.BufferedReader):
        yield cast(io.BufferedReader, stream)
        return
    wrapped = io.BufferedReader(cast(io.RawIOBase, stream))
    try:
        yield cast(io.BufferedReader, wrapped)
    finally:
        wrapped.detach()


def unreadable(
    path: str, values: int, exc: Exception, todo: str | None = None
) -> ConfigError:
    """Return the error of a file that cannot be read on after some values."""
    where = f"after line {values}" if values else "in its first line"
    if todo is None:
        todo = "Give a file of JSON, packed by gzip or zstd or not, or `-` for stdin."
    if isinstance(exc, (EOFError, gzip.BadGzipFile, zlib.error)):
        cut = "ends too early" if isinstance(exc, EOFError) else "is damaged"
        msg = f"{named(path)}: its gzip data {cut}, {where}."
        return ConfigError(msg, "Import a complete copy; it adds no duplicates.")
    if isinstance(exc, FileNotFoundError):
        msg = f"{named(path)} does not exist."
    elif isinstance(exc, IsADirectoryError):
        msg = f"{named(path)} is a folder, not a file."
    elif isinstance(exc, UnicodeError):
        msg = f"{named(path)} is no valid text, {where}."
    else:
        why = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        msg = f"{named(path)} cannot be read{f', {where}' if values else ''}: {why}."
    return ConfigError(msg, todo)


def named(path: str) -> str:
    """Return what messages call a path."""
    return "Standard input" if path == STDIN else repr(path)
