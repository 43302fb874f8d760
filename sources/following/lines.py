"""Turns the lines of one session file into records, while its tool appends to it."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from schemas.lines import Record, TooLong
from sources.transcripts import claude_code, codex, events
from sources.transcripts.format import VALUE_ERRORS, Format, Value
from sources.transcripts.imported import ImportedEvent
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.sessions import OpenSessions, TellLine

# Formats whose tools append lines while they run, with the reader of a file's lines.
FOLLOWED: tuple[tuple[Format, Callable[[], TellLine]], ...] = (
    (claude_code.FORMAT, claude_code.follow),
    (codex.FORMAT, codex.follow),
)
# Lines that are looked at together for the sign of a format.
SAMPLE_LINES = 20

_decode = msgspec.json.Decoder().decode


class _Dated(msgspec.Struct):
    timestamp: datetime


_dated = msgspec.json.Decoder(_Dated).decode


class Made(NamedTuple):
    """A record, and the time of its event; a dead letter has none."""

    record: Record
    at: datetime | None


def recognized(lines: Iterable[bytes]) -> Callable[[], TellLine] | None:
    """Return what reads a file with these first lines; broken ones have no format."""
    sample: list[object] = []
    for line in lines:
        try:
            sample.append(_decode(line))
        except (ValueError, RecursionError):
            continue
    for start in range(len(sample)):
        for form, follow in FOLLOWED:
            if form.recognize(sample[start : start + SAMPLE_LINES], "values"):
                return follow
    return None


def reader_of(name: str) -> Callable[[], TellLine] | None:
    """Return what reads the files of a format; None if none has this name."""
    return next((follow for form, follow in FOLLOWED if form.name == name), None)


def is_object(line: bytes) -> bool:
    """Whether a line is a complete JSON object, even if no end of a line follows."""
    try:
        return isinstance(_decode(line), dict)
    except (ValueError, RecursionError):
        return False


class SessionLines:
    """The sessions of a file, as far as its lines were read.

    Args:
        follow: reads the lines of one of `FOLLOWED`.
        options: what the user gave.
    """

    def __init__(self, follow: Callable[[], TellLine], options: Options) -> None:
        self._ledger = Ledger()
        self._sessions = OpenSessions(options, self._ledger)
        self._tell = follow()
        self._broken = events.Broken()
        self._number = 0
        self.too_long = 0

    def feed(self, line: bytes) -> Iterator[Made]:
        """Read one line; yield the records that nothing changes any more."""
        self._number += 1
        # A tool that writes on at its old place, in a file that was emptied.
        line = line.lstrip(b"\0")
        if not line or line.isspace():
            return
        try:
            value = Value(self._number, line, _decode(line))
        except (ValueError, RecursionError):
            yield from self._dead(line)
            return
        try:
            talk = self._tell(self._sessions, value)
        except VALUE_ERRORS:
            talk = None
            self._sessions.settle()
            yield from self._dead(line)
        for session, event in self._sessions.finished(talk):
            yield self._made(session, event)

    def so_far(self) -> Iterator[Made]:
        """Yield the records of all that was read; calls that still run as started."""
        for session, event in self._sessions.so_far():
            yield self._made(session, event)

    def _made(self, session: str, event: ImportedEvent) -> Made:
        record = Record(
            self._number, session.encode(), event.value, idempotency_key=event.id
        )
        return Made(record, _dated(event.value).timestamp)

    def _dead(self, line: bytes) -> Iterator[Made]:
        found = events.record_of(self._number, line, self._broken, self._ledger)
        if isinstance(found, TooLong):
            self.too_long += 1
        else:
            yield Made(found, None)
