"""Lines of a file or of stdin as records to produce: events, or chats as events.

A line that is neither is produced unchanged and becomes a dead letter. Record ids
depend on the content only, so importing a file twice adds nothing.
"""

import gzip
import hashlib
import io
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import msgspec

from schemas.lines import Record, TooLong
from semloop.errors import ConfigError
from semloop.event import EVENT_ID_PATTERN, decode_envelope, decode_payload
from sources.transcripts.imported import ImportedEvent, import_id
from sources.transcripts.openai_chat import chat_events

Format = Literal["events", "chat"]
# Format of transcripts -> the function that returns a line's session id and events, or
# None if the line has another format.
TRANSCRIPTS: Mapping[
    Format, Callable[[bytes], tuple[str, Sequence[ImportedEvent]] | None]
] = {"chat": chat_events}
# What an error calls a file of the format.
NAMES: Mapping[Format, str] = {"events": "events", "chat": "chat transcripts"}
STDIN = "-"
# The topic's `max.message.bytes`: a longer line does not fit into a message.
LINE_BYTES_MAX = 4 * 2**20
# Maximum distinct broken lines whose repetitions are counted, about 150 bytes of memory
# each; further ones are identified by their line number.
BROKEN_LINES_MAX = 250_000

_Stream = io.BufferedReader | gzip.GzipFile
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE_BYTES = 2**20
_PEEK_BYTES = 2**13
_UNREADABLE = (ValueError, RecursionError)  # Malformed, not UTF-8; too deep.
_begins_array = re.compile(rb"\s*\[\s*(?:[\[{\"]|$)").match
_has_object = re.compile(rb"^\s*\{[^\0]", re.MULTILINE).search
_is_event_id = re.compile(EVENT_ID_PATTERN).fullmatch


def read_records(path: str, format: Format) -> Iterator[Record | TooLong]:  # noqa: A002
    """Read a file lazily; `-` is stdin, and both may be gzipped.

    Raises:
        ConfigError: the file cannot be read completely, or has the other format.
    """
    broken = _Broken()
    events_of = TRANSCRIPTS.get(format)
    first = True
    for line in _lines(path):
        if isinstance(line, TooLong):
            yield line
            continue
        number, value = line
        if not value.strip():
            continue
        if first:
            _check_format(path, value, format)
            first = False
        transcript = events_of(value) if events_of else None
        if transcript is None:
            yield _unchanged(number, value, broken)
            continue
        session_id, events = transcript
        key = session_id.encode()
        for event in events:
            yield Record(number, key, event.value, idempotency_key=event.id)


class _FormatProbe(msgspec.Struct):
    messages: msgspec.Raw = msgspec.Raw()
    payload: msgspec.Raw = msgspec.Raw()
    meta: msgspec.Raw = msgspec.Raw()


_decode_probe = msgspec.json.Decoder(_FormatProbe).decode


def guess_format(line: bytes) -> Format | None:
    """Guess the format of a line; None if it matches neither."""
    try:
        probe = _decode_probe(line)
    except _UNREADABLE:
        return None
    if probe.payload:
        return "events" if probe.meta else None
    return "chat" if bytes(probe.messages)[:1] == b"[" else None


def _check_format(path: str, line: bytes, expected: Format) -> None:
    """Reject a file of the other format before all its lines become dead letters."""
    for matches, filter_, what in (
        (bool(_begins_array(line)), ".[]", "one JSON array"),
        (line.strip() == b"{", ".", "JSON over several lines"),
    ):
        if matches:
            msg = f"{_named(path)} contains {what}, not one JSON object per line."
            todo = f"Try: jq -c '{filter_}' FILE | semloop import - --format {expected}"
            raise ConfigError(msg, todo)
    found = guess_format(line)
    if found is not None and found != expected:
        msg = f"{_named(path)} contains {NAMES[found]}, not {NAMES[expected]}."
        raise ConfigError(msg, f"Import it with `--format {found}`.")


class _Session(msgspec.Struct):
    session_id: str


class _SessionKey(msgspec.Struct):
    meta: _Session


_decode_session_key = msgspec.json.Decoder(_SessionKey).decode


@dataclass(slots=True)
class _Broken:
    """Number of occurrences of each broken line, by its digest."""

    seen: dict[bytes, int] = field(default_factory=dict)

    def occurrence(self, number: int, value: bytes) -> str:
        """Return the occurrence of a line, the same in every import of the file."""
        digest = hashlib.blake2b(value, digest_size=16).digest()
        if digest not in self.seen and len(self.seen) >= BROKEN_LINES_MAX:
            return f"line {number}"
        self.seen[digest] = self.seen.get(digest, 0) + 1
        return str(self.seen[digest])


def _unchanged(number: int, value: bytes, broken: _Broken) -> Record:
    session_id = _event_session(value)
    is_event = session_id is not None
    # An event has its own id, by which the archive drops duplicates.
    occurrence = "1" if is_event else broken.occurrence(number, value)
    if session_id is None:
        try:
            session_id = _decode_session_key(value).meta.session_id
        except _UNREADABLE:
            session_id = ""
    key = session_id.encode() or None
    idempotency_key = import_id(value, occurrence.encode())
    return Record(number, key, value, idempotency_key, is_event)


def _event_session(value: bytes) -> str | None:
    """Return the session id of an event; None if the line is not an event."""
    try:
        event = decode_envelope(value)
        decode_payload[event.type](event.payload)
    except _UNREADABLE:
        return None
    return event.meta.session_id if _is_event_id(event.id) else None


def _lines(path: str) -> Iterator[tuple[int, bytes] | TooLong]:
    """Yield each line with its number, without its line break."""
    number = 0
    try:
        with _opened(path) as stream:
            head = stream.peek(_PEEK_BYTES)
            if b"\0" in head and not _has_object(head):
                msg = f"{_named(path)} contains binary data, or text that is not UTF-8."
                raise ConfigError(msg, "Give a file of JSON lines, gzipped or not.")
            while line := _line(stream, number + 1):
                number += 1
                yield line
    except (OSError, EOFError, zlib.error, ValueError) as exc:
        raise _unreadable(path, number, exc) from None


def _line(stream: _Stream, number: int) -> tuple[int, bytes] | TooLong | None:
    line = stream.readline(LINE_BYTES_MAX + len(b"\r\n"))
    if not line:
        return None
    ended = line.endswith(b"\n")
    size = len(line)
    if ended:
        line = line[:-1].removesuffix(b"\r")
    if len(line) <= LINE_BYTES_MAX:
        return number, line
    while not ended and (piece := stream.readline(_PIECE_BYTES)):
        size += len(piece)
        ended = piece.endswith(b"\n")
    return TooLong(number, size)


@contextmanager
def _opened(path: str) -> Iterator[_Stream]:
    with ExitStack() as stack:
        if path == STDIN:
            stream = stack.enter_context(_stdin())
        else:
            stream = stack.enter_context(Path(path).open("rb"))
        # A slow pipe may return one byte only; no JSON line begins with that byte.
        if stream.peek(2)[:2] in (_GZIP_MAGIC, _GZIP_MAGIC[:1]):
            yield stack.enter_context(gzip.GzipFile(fileobj=stream))
        else:
            yield stream


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


def _unreadable(path: str, lines: int, exc: Exception) -> ConfigError:
    where = f"after line {lines}" if lines else "in its first line"
    todo = "Give a file of JSON lines, gzipped or not, or `-` for stdin."
    if isinstance(exc, (EOFError, gzip.BadGzipFile, zlib.error)):
        cut = "ends too early" if isinstance(exc, EOFError) else "is damaged"
        msg = f"{_named(path)}: its gzip data {cut}, {where}."
        return ConfigError(msg, "Import a complete copy; it adds no duplicates.")
    if isinstance(exc, FileNotFoundError):
        msg = f"{_named(path)} does not exist."
    elif isinstance(exc, IsADirectoryError):
        msg = f"{_named(path)} is a folder, not a file."
    else:
        why = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        msg = f"{_named(path)} cannot be read{f', {where}' if lines else ''}: {why}."
    return ConfigError(msg, todo)


def _named(path: str) -> str:
    return "Standard input" if path == STDIN else repr(path)
