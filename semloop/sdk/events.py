"""Events as an agent emits them: made, checked, sampled, encoded."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from semloop.errors import ConfigError
from semloop.event import decode_envelope, decode_payload

# Sampled by session; an error without its session is still worth having.
ALWAYS = frozenset({"error", "completion", "feedback"})


class EventRefused(ConfigError):
    """What was passed makes no event."""


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


def is_kept(
    kind: str, agent: str, session_id: str, sample: Mapping[str, float], *, failed: bool
) -> bool:
    """Whether an event is sent: a session's are, or are not, all of one kind.

    Args:
        kind: type of the event.
        agent: name of the agent.
        session_id: what decides; the same in every process.
        sample: shares by `agent/type`, `*/type`, `agent` or `*`, the first that fits.
        failed: whether it tells of an error.
    """
    if not sample or kind in ALWAYS or failed:
        return True
    names = (f"{agent}/{kind}", f"*/{kind}", agent, "*")
    share = next((sample[name] for name in names if name in sample), 1.0)
    digest = hashlib.blake2b(session_id.encode("utf-8", "replace"), digest_size=8)
    return int.from_bytes(digest.digest(), "big") < share * 2**64


def _plain(value: object) -> object:
    """Whatever JSON has no form for, by its own words."""
    if isinstance(value, set | frozenset):
        return list(value)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    return repr(value)


_encoder = msgspec.json.Encoder(enc_hook=_plain)
