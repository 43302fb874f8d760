"""Events of a session before they have an id: what all of them share, and each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from semloop.event import (
    Completion,
    Error,
    EventType,
    Feedback,
    Message,
    StateChange,
    ToolCall,
    ToolStart,
)

Typed = ToolCall | Message | Completion | Feedback | Error | StateChange | ToolStart


@dataclass(frozen=True, slots=True)
class Head:
    """What all events of a session have in common; `start` is the time of the first."""

    agent: str
    session_id: str
    namespace: str | None = None
    user_id: str | None = None
    task: str | None = None
    tags: list[str] | None = None
    start: datetime | None = None


@dataclass(slots=True)
class Draft:
    """An event without id and envelope; `extra` are further fields of its payload.

    `at` is its own time, and `place` what distinguishes it from equal ones; without it
    that is its number in the session. `placed`: the id of a message depends on the
    place alone. `waits`: for the result of this call id. `reported`: its tokens as the
    file has them, of which its id is made. `more`: more fields of `source` in its
    payload, which do not enter the id. `apart`: it takes no number, so that ids of
    events after it are the same without it. `started`: its start is an event.
    """

    kind: EventType
    payload: Typed
    at: datetime | None = None
    place: str | None = None
    extra: dict[str, object] | None = None
    waits: bool = False
    started: bool = False
    ended: datetime | None = None
    spans: dict[str, str] | None = None
    placed: bool = False
    apart: bool = False
    reported: tuple[int | None, int | None] | None = None
    more: dict[str, object] | None = None


def merged(
    fields: Mapping[str, object], more: Mapping[str, object]
) -> dict[str, object]:
    """Return all fields; of two different ones of a name, the second gets a number."""
    found = dict(fields)
    for name, value in more.items():
        own, number = name, 1
        while own in found and found[own] != value:
            number += 1
            own = f"{name}_{number}"
        found[own] = value
    return found


def start(draft: Draft) -> None:
    """Turn the draft of a call that still runs into that of its start."""
    call = draft.payload
    assert isinstance(call, ToolCall)
    draft.kind = "tool_start"
    draft.payload = ToolStart(tool=call.tool, call_id=call.call_id)
    if call.arguments:
        arguments = msgspec.json.decode(call.arguments)
        draft.extra = {"arguments": arguments, **(draft.extra or {})}


def started(draft: Draft) -> Draft:
    """Return the start of a call, which still waits for its result."""
    draft.started = True
    copy = replace(draft)
    start(copy)
    return copy


def arguments_of(value: object) -> msgspec.Raw | None:
    """Return the arguments; text that contains a JSON object becomes that object."""
    if value is None:
        return None
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        try:
            # Keeps the digits of numbers and the order of keys.
            if isinstance(msgspec.json.decode(value), dict):
                raw = value.encode()
                return msgspec.Raw(msgspec.json.format(raw, indent=-1))
        except (ValueError, RecursionError):
            pass
    return msgspec.Raw(msgspec.json.encode(value))
