"""Events in our own envelope: each value is produced as it is.

A value that is no event becomes a dead letter. Record ids depend on the content only,
so importing a file twice adds nothing.
"""

import hashlib
import re
from dataclasses import dataclass, field

import msgspec

from schemas.lines import Record, TooLong
from semloop.event import EVENT_ID_PATTERN, Envelope, decode_envelope, decode_payload
from sources.transcripts.format import Container
from sources.transcripts.imported import import_id
from sources.transcripts.ledger import Ledger

NAME, TITLE = "events", "events"
# The topic's `max.message.bytes`: a longer line does not fit into a message.
LINE_BYTES_MAX = 4 * 2**20
# Maximum distinct broken lines whose repetitions are counted, about 150 bytes of memory
# each; further ones are identified by their line number.
BROKEN_LINES_MAX = 250_000

_UNREADABLE = (ValueError, RecursionError)  # Malformed, not UTF-8; too deep.
_is_event_id = re.compile(EVENT_ID_PATTERN).fullmatch


def recognize(values: list[object], _: Container) -> str | None:
    """Return the sign of our envelope; None if a value does not bear it."""
    value = values[0]
    if isinstance(value, dict) and "payload" in value and "meta" in value:
        return "each value has a payload and meta"
    return None


class _Session(msgspec.Struct):
    session_id: str


class _SessionKey(msgspec.Struct):
    meta: _Session


_decode_session_key = msgspec.json.Decoder(_SessionKey).decode


@dataclass(slots=True)
class Broken:
    """Number of occurrences of each broken line, by its digest."""

    seen: dict[bytes, int] = field(default_factory=dict)

    def occurrence(self, number: int, value: bytes) -> str:
        """Return the occurrence of a line, the same in every import of the file."""
        digest = hashlib.blake2b(value, digest_size=16).digest()
        if digest not in self.seen and len(self.seen) >= BROKEN_LINES_MAX:
            return f"line {number}"
        self.seen[digest] = self.seen.get(digest, 0) + 1
        return str(self.seen[digest])


def record_of(
    number: int, value: bytes, broken: Broken, ledger: Ledger
) -> Record | TooLong:
    """Return a value as the record to produce, unchanged."""
    ledger.met += 1
    if len(value) > LINE_BYTES_MAX:
        ledger.leave_out("value", "is over 4 MiB")
        return TooLong(number, len(value))
    event = _event(value)
    # An event has its own id, by which the archive drops duplicates.
    occurrence = "1" if event else broken.occurrence(number, value)
    if event is None:
        ledger.unreadable += 1
        try:
            session_id = _decode_session_key(value).meta.session_id
        except _UNREADABLE:
            session_id = ""
    else:
        ledger.events += 1
        ledger.made[event.type] += 1
        session_id = event.meta.session_id
    key = session_id.encode() or None
    idempotency_key = import_id(value, occurrence.encode())
    return Record(number, key, value, idempotency_key, event is not None)


def _event(value: bytes) -> Envelope | None:
    """Return an event; None if the value is not one."""
    try:
        event = decode_envelope(value)
        decode_payload[event.type](event.payload)
    except _UNREADABLE:
        return None
    return event if _is_event_id(event.id) else None
