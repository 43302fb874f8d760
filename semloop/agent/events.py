"""Validates and encodes the events that an agent emits."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from semloop.errors import EventRefused
from semloop.event import decode_envelope, decode_payload


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
        decode_payload[kind](msgspec.Raw(raw))
        decode_envelope(event)
    except msgspec.ValidationError as error:
        # A quotation mark precedes a value of the payload, which must not be shown.
        what = str(error).partition(" '")[0].replace("$", kind)
        msg = f"The arguments do not form a valid event: {what}."
        raise EventRefused(msg, "See semloop/event.py for the fields.") from None
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        msg = f"A {kind} cannot be written as JSON: {type(error).__name__}."
        raise EventRefused(msg, "Pass text, numbers, lists and dicts.") from None
    if len(event) > bytes_max:
        msg = f"A {kind} of {len(event):,} bytes is over the limit of {bytes_max:,}."
        todo = "Shorten it, or store the content elsewhere and send a reference to it."
        raise EventRefused(msg, todo)
    return event


def _json_fallback(value: object) -> object:
    """Convert a value of a type that JSON does not have."""
    if isinstance(value, set | frozenset):
        return list(value)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    return repr(value)


_encoder = msgspec.json.Encoder(enc_hook=_json_fallback)
