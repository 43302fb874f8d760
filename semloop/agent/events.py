"""Events as an agent emits them: made, checked, sampled, encoded."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from semloop.errors import EventRefused
from semloop.event import decode_envelope, decode_payload


class Out(msgspec.Struct, omit_defaults=True):
    """An envelope on its way out."""

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
    """An event as JSON of one line; what is None is left out.

    Raises:
        EventRefused: no event of version 1 can be made of it, or it is too large.
    """
    try:
        raw = _encoder.encode({k: v for k, v in payload.items() if v is not None})
        event = _encoder.encode(
            Out(
                event_id, kind, timestamp, agent, msgspec.Raw(raw),
                {k: v for k, v in meta.items() if v is not None},
            )
        )  # fmt: skip
        decode_payload[kind](msgspec.Raw(raw))
        decode_envelope(event)
    except msgspec.ValidationError as error:
        # What follows a quotation mark is a value, which is nobody's business.
        what = str(error).partition(" '")[0].replace("$", kind)
        msg = f"This makes no event: {what}."
        raise EventRefused(msg, "See semloop/event.py for the fields.") from None
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        msg = f"A {kind} cannot be written as JSON: {type(error).__name__}."
        raise EventRefused(msg, "Pass text, numbers, lists and dicts.") from None
    if len(event) > bytes_max:
        msg = f"A {kind} of {len(event):,} bytes is over the limit of {bytes_max:,}."
        raise EventRefused(msg, "Shorten it, or store it elsewhere and name the place.")
    return event


def _plain(value: object) -> object:
    """Whatever JSON has no form for, by its own words."""
    if isinstance(value, set | frozenset):
        return list(value)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    return repr(value)


_encoder = msgspec.json.Encoder(enc_hook=_plain)
