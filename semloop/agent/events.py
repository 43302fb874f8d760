"""Validates and encodes the events that an agent emits."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from semloop.errors import EventRefused
from semloop.event import PAYLOADS, Envelope, decode_envelope, decode_payload
from semloop.field_errors import FieldError, explain


class OutgoingEnvelope(msgspec.Struct, omit_defaults=True):
    """The envelope of an event to send."""

    id: str
    type: str
    timestamp: datetime
    agent: str
    payload: msgspec.Raw
    meta: dict[str, Any]


def encode(
    kind: str,
    event_id: str,
    agent: str,
    timestamp: datetime,
    payload: Mapping[str, object],
    meta: Mapping[str, object],
    bytes_max: int,
) -> bytes:
    """Encode an event as one line of JSON, omitting None values.

    Raises:
        EventRefused: the arguments do not form a valid event of version 1, or the event
            is too large.
    """
    try:
        raw = _encoder.encode({k: v for k, v in payload.items() if v is not None})
        event = _encoder.encode(
            OutgoingEnvelope(
                event_id, kind, timestamp, agent, msgspec.Raw(raw),
                {k: v for k, v in meta.items() if v is not None},
            )
        )  # fmt: skip
        _validate(kind, msgspec.Raw(raw), event)
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        msg = f"A {kind} cannot be written as JSON: {type(error).__name__}."
        raise EventRefused(msg, "Pass text, numbers, lists and dicts.") from None
    if len(event) > bytes_max:
        msg = f"A {kind} of {len(event):,} bytes is over the limit of {bytes_max:,}."
        todo = "Shorten it, or store the content elsewhere and send a reference to it."
        raise EventRefused(msg, todo)
    return event


def check_names(agent: str, meta: Mapping[str, object]) -> None:
    """Check what all events of an agent, or of one of its sessions, have in common.

    Raises:
        EventRefused: events of this agent with this `meta` would not be valid.
    """
    now = datetime.now(UTC)
    encode("error", "-", agent, now, {"error_type": "-", "message": "-"}, meta, 2**20)


def _validate(kind: str, payload: msgspec.Raw, event: bytes) -> None:
    try:
        decode_payload[kind](payload)
    except msgspec.ValidationError as error:
        raise _refusal(explain(error, PAYLOADS[kind], "payload")) from None
    try:
        decode_envelope(event)
    except msgspec.ValidationError as error:
        raise _refusal(explain(error, Envelope)) from None


def _refusal(problem: FieldError) -> EventRefused:
    msg = f"The arguments do not form a valid event: {problem.text}."
    return EventRefused(msg, "See semloop/event.py for the fields.")


def _json_fallback(value: object) -> object:
    """Convert a value of a type that JSON does not have."""
    if isinstance(value, set | frozenset):
        return list(value)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    return repr(value)


_encoder = msgspec.json.Encoder(enc_hook=_json_fallback)
