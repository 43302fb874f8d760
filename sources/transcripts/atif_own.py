"""What our own trajectories have in `extra.semloop`: fields of events, and events."""

from collections.abc import Mapping

import msgspec

from semloop.event import EventType, Message, ToolCall, decode_payload
from semloop.texts.times import time_of
from sources.transcripts.atif_writer import OWN
from sources.transcripts.conversation import Conversation
from sources.transcripts.drafts import Draft

_OF_CALL = ("status", "error_type", "duration_ms")


def own_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """Return what our export has added to an object; nothing if it is of others."""
    extra = fields.get("extra")
    own = extra.get(OWN) if isinstance(extra, dict) else None
    return own if isinstance(own, dict) else {}


def without_own(rest: dict[str, object]) -> dict[str, object]:
    """Return fields without what our export has added."""
    extra = rest.get("extra")
    if isinstance(extra, dict):
        others = {name: value for name, value in extra.items() if name != OWN}
        rest = {**rest, "extra": others or None}
    return {name: value for name, value in rest.items() if value is not None}


def restore(drafts: list[Draft], own: dict[str, object]) -> None:
    """Give the event of a step the fields that it had before it was exported."""
    if not drafts:
        return
    draft, left = drafts[0], dict(own)
    payload = draft.payload
    if isinstance(payload, ToolCall):
        _restore_call(payload, left)
    elif not isinstance(payload, Message):
        return
    if left:
        draft.extra = {**(draft.extra or {}), **left}


def _restore_call(call: ToolCall, left: dict[str, object]) -> None:
    if "call_id" in left:
        left.pop("call_id")
        call.call_id = None
    if "arguments" in left:
        value = left.pop("arguments")
        encoded = msgspec.json.encode(value) if value is not None else b""
        call.arguments = msgspec.Raw(encoded)
    if left.pop("result", None) == "json" and call.result:
        call.result = msgspec.Raw(msgspec.json.decode(call.result, type=str).encode())
    if left.get("status") in ("success", "error"):
        known = {name: left.pop(name, None) for name in _OF_CALL}
        found = msgspec.convert({"tool": call.tool, **known}, ToolCall)
        call.status, call.error_type = found.status, found.error_type
        call.duration_ms = found.duration_ms


def add_others(talk: Conversation, own: Mapping[str, object]) -> None:
    """Add the events of a session that are no steps: outcomes, ratings, errors."""
    events = own.get("events")
    for event in events if isinstance(events, list) else []:
        talk.ledger.met += 1
        kind = event.get("type") if isinstance(event, dict) else None
        if kind not in decode_payload or kind in ("message", "tool_call"):
            talk.ledger.leave_out("event", "of a trajectory is of no known type")
            continue
        raw = msgspec.json.encode(event.get("payload"))
        try:
            payload = decode_payload[kind](msgspec.Raw(raw))
        except ValueError:
            talk.ledger.leave_out("event", "of a trajectory is not valid")
            continue
        talk.at_unit(time_of(event.get("timestamp")))
        known: EventType = kind
        talk.add(known, payload)
