"""Converts, validates and encodes the events that an agent emits."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from semloop.agent.fields import META_TYPES, Converter, payload_types
from semloop.agent.metadata import FIELD as METADATA
from semloop.agent.notes import FIELD, Notes
from semloop.agent.plain import is_plain
from semloop.agent.scalars import clean
from semloop.agent.shorten import shortened
from semloop.agent.values import to_plain
from semloop.errors import EventRefused
from semloop.event import PAYLOADS, Envelope, decode_envelope, decode_payload

if TYPE_CHECKING:
    from semloop.field_errors import FieldError

# Bytes of an envelope without payload and `meta`, and of the notes.
ENVELOPE_BYTES = 1_500
NOTES_BYTES = 8_192
# Texts are cut before they are measured if they have this many times the characters
# that an event may have bytes.
TEXT_FACTOR = 4
# Fields of an event that may be invalid; each is repaired once.
REPAIRS_MAX = 20
# Hexadecimal digits of the hash at the end of a name that is too long.
HASH_DIGITS = 12
_LENGTH = re.compile(r"at most (\d+) (?:character|value)")

Report = Callable[[EventRefused], None]


class OutgoingEnvelope(msgspec.Struct, omit_defaults=True):
    """The envelope of an event to send."""

    id: str
    type: str
    timestamp: datetime
    agent: str
    payload: dict[str, Any]
    meta: dict[str, Any]
    # Unknown to the archive, which stores it in the column `extra`.
    metadata: dict[str, Any] = {}


def encode(
    kind: str,
    event_id: str,
    agent: str,
    timestamp: datetime,
    payload: Mapping[str, object],
    meta: Mapping[str, object],
    bytes_max: int,
    report: Report | None = None,
    metadata: Mapping[str, object] | None = None,
) -> bytes:
    """Encode an event as one line of JSON, omitting None values.

    Values of any type become values of JSON; docs/agents.md lists them. What was
    shortened or left out is in `payload.semloop_notes`.

    `report` receives the problem of a field that is invalid and not required: the event
    is then encoded without the field. Without it, the problem is raised.

    Raises:
        EventRefused: the arguments do not form a valid event of version 1.
    """
    if kind not in PAYLOADS:
        msg = f"There is no type of events with this name; the types are {_TYPES}."
        raise EventRefused(msg, "See semloop/event.py for the fields.")
    draft = _Draft(kind, event_id, agent, timestamp, payload, meta)
    draft.metadata = dict(metadata or {})
    event = draft.unchanged(bytes_max)
    if event is not None:
        return event
    draft.convert(bytes_max)
    event = draft.encoded()
    if len(event) > bytes_max:
        draft.shorten(bytes_max)
        event = draft.encoded()
    for _ in range(REPAIRS_MAX):
        problem = draft.problem(event)
        if problem is None:
            break
        refusal = _refusal(problem)
        if report is None or not draft.repair(problem):
            raise refusal
        report(refusal)
        event = draft.encoded()
    if len(event) > bytes_max:
        msg = f"A {kind} of {len(event):,} bytes is over the limit of {bytes_max:,}."
        raise EventRefused(msg, "Raise SEMLOOP_RECORD_BYTES_MAX.")
    return event


def check_names(agent: str, meta: Mapping[str, object]) -> None:
    """Check what all events of an agent, or of one of its sessions, have in common.

    Raises:
        EventRefused: events of this agent with this `meta` would not be valid.
    """
    now = datetime.now(UTC)
    encode("error", "-", agent, now, {"error_type": "-", "message": "-"}, meta, 2**20)


class _Draft:
    """An event that is to be encoded."""

    def __init__(
        self,
        kind: str,
        event_id: str,
        agent: str,
        timestamp: datetime,
        payload: Mapping[str, object],
        meta: Mapping[str, object],
    ) -> None:
        self._kind = kind
        self._id = event_id
        self._agent = agent
        self._timestamp = timestamp
        self._payload = {k: v for k, v in payload.items() if v is not None}
        self._meta = {k: v for k, v in meta.items() if v is not None}
        self.metadata: dict[str, Any] = {}
        self._notes: Notes | None = None

    def unchanged(self, bytes_max: int) -> bytes | None:
        """Return the event as it is; None if anything must be converted."""
        if not (is_plain(self._payload) and is_plain(self._meta)):
            return None
        if self.metadata and not is_plain(self.metadata):
            return None
        try:
            event = self.encoded()
            if len(event) > bytes_max:
                return None
            decode_payload[self._kind](decode_envelope(event).payload)
        except (ValueError, TypeError, OverflowError, RecursionError):
            # An invalid field, or half a surrogate pair.
            return None
        return event

    def convert(self, bytes_max: int) -> None:
        """Convert all fields."""
        self._notes = Notes()
        converter = Converter(self._notes, bytes_max * TEXT_FACTOR)
        self._payload = converter.fields(self._payload, payload_types(self._kind))
        self._meta = converter.fields(self._meta, META_TYPES, "meta.")
        plain = to_plain(self.metadata, METADATA, self._notes, bytes_max)
        self.metadata = plain if isinstance(plain, dict) else {}
        self._agent = clean(self._agent)

    def encoded(self) -> bytes:
        """Return the event as JSON, with its notes."""
        payload = self._payload
        if self._notes is not None and (notes := self._notes.texts()):
            earlier = payload.get(FIELD)
            earlier = earlier if isinstance(earlier, list) else []
            payload = payload | {FIELD: [*earlier, *notes]}
        event = OutgoingEnvelope(
            self._id, self._kind, self._timestamp, self._agent, payload, self._meta,
            self.metadata,
        )  # fmt: skip
        return _encode(event)

    def shorten(self, bytes_max: int) -> None:
        """Shorten the largest values."""
        assert self._notes is not None
        room = bytes_max - ENVELOPE_BYTES - min(NOTES_BYTES, bytes_max // 4)
        all_fields = {
            "payload": self._payload, "meta": self._meta, METADATA: self.metadata,
        }  # fmt: skip
        kept: Any = shortened(all_fields, max(0, room), self._notes)
        self._payload = kept.get("payload", {})
        self._meta = kept.get("meta", {})
        self.metadata = kept.get(METADATA, {})

    def problem(self, event: bytes) -> "FieldError | None":
        """Return the first field that is not valid."""
        from semloop.field_errors import explain

        try:
            envelope = decode_envelope(event)
        except msgspec.ValidationError as error:
            return explain(error, Envelope)
        try:
            decode_payload[self._kind](envelope.payload)
        except msgspec.ValidationError as error:
            return explain(error, PAYLOADS[self._kind], "payload")
        return None

    def repair(self, problem: "FieldError") -> bool:
        """Shorten the field of a problem, or leave it out; False if it is required."""
        place, _, name = re.split(r"\[", problem.path)[0].partition(".")
        bound = _LENGTH.search(problem.text)
        if place == "agent" and bound:
            self._agent = _cut_name(self._agent, int(bound[1]))
            return True
        fields = self._payload if place == "payload" else self._meta
        known = payload_types(self._kind) if place == "payload" else META_TYPES
        value = fields.get(name)
        if bound and isinstance(value, str):
            fields[name] = _cut_name(value, int(bound[1]))
        elif bound and isinstance(value, list):
            fields[name] = _cut_names(value, int(bound[1]), problem.path)
        elif value is not None and name not in known.required:
            del fields[name]
        else:
            return False
        assert self._notes is not None
        change = "shortened" if name in fields else "left out: invalid"
        self._notes.add(problem.path, change)
        return True


def _cut_name(name: str, chars: int) -> str:
    """Shorten a name; different names stay different."""
    from hashlib import sha256

    digest = sha256(name.encode()).hexdigest()[:HASH_DIGITS]
    return f"{name[: chars - HASH_DIGITS - 1]}…{digest}"


def _cut_names(names: list[Any], bound: int, path: str) -> list[Any]:
    if "[" not in path:
        return names[:bound]
    return [_cut_name(n, bound) if len(n) > bound else n for n in names]


def _refusal(problem: "FieldError") -> EventRefused:
    msg = f"The arguments do not form a valid event: {problem.text}."
    return EventRefused(msg, "See semloop/event.py for the fields.")


_encode = msgspec.json.Encoder().encode
_TYPES = ", ".join(PAYLOADS)
