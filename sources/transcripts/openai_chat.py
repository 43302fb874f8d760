"""One chat transcript as the events of one session.

A chat either gives all of its events or none. Event ids come from what is said and
where in the chat, never from how long the chat is: importing it again adds nothing,
importing it after it grew adds what is new.
"""

import hashlib
import uuid
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec

from semloop.event import Completion, Envelope, EventType, Message, Meta, ToolCall

# Events of a chat are a second apart, as long as the whole takes no longer than this.
SPAN_S_MAX = 240.0
# All ids that an import makes are version-5 UUIDs under this one.
IMPORT_NAMESPACE = uuid.UUID("5c0a2f4e-6f0b-5d5e-9a43-2f1f3f0c7b11")


@dataclass(frozen=True, slots=True)
class ChatEvent:
    """An event of a chat: its id and the bytes that are produced."""

    id: str
    value: bytes


class _Part(msgspec.Struct, gc=False):
    type: str
    text: str | None = None


class _Function(msgspec.Struct, gc=False):
    name: str
    arguments: msgspec.Raw = msgspec.Raw()


class _Call(msgspec.Struct, gc=False):
    id: str
    function: _Function


class _Said(msgspec.Struct, gc=False):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Chat(msgspec.Struct, gc=False):
    id: Annotated[str, msgspec.Meta(min_length=1)]
    agent: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
    messages: list[_Said]
    reward: float | None = None
    namespace: str | None = None
    # Wrong types here spoil nothing, so they are left out rather than refused.
    user_id: object = None
    task: object = None
    tags: object = None


# A payload with the name of its event type.
_Typed = tuple[EventType, ToolCall | Message | Completion]

_decode_chat = msgspec.json.Decoder(_Chat).decode


def chat_events(line: bytes) -> tuple[str, list[ChatEvent]] | None:
    """The session id and the events of a transcript; None if it is not one."""
    try:
        chat = _decode_chat(line)
        # Pairs are found first: a call is written with a result that comes later.
        payloads = list(_payloads(chat, _pair(chat.messages)))
        return chat.id, _in_envelopes(chat, payloads)
    # ValueError: malformed, of another shape, not UTF-8. OverflowError: the last event
    # would lie beyond the year 9999, or the first, in UTC, before the year 1.
    except (ValueError, OverflowError, RecursionError):
        return None


def _pair(messages: Sequence[_Said]) -> dict[int, int]:
    """Position of a result -> number of its call, counted through the chat.

    Call ids repeat within a chat, so a result belongs to the oldest call of its id that
    still waits for one.
    """
    waiting: defaultdict[str | None, deque[int]] = defaultdict(deque)
    pairs: dict[int, int] = {}
    calls = 0
    for position, said in enumerate(messages):
        if said.role == "tool" and waiting[said.tool_call_id]:
            pairs[position] = waiting[said.tool_call_id].popleft()
        for call in said.tool_calls or ():
            waiting[call.id].append(calls)
            calls += 1
    return pairs


def _payloads(chat: _Chat, pairs: dict[int, int]) -> Iterator[_Typed]:
    results = {call: _text(chat.messages[at]) or "" for at, call in pairs.items()}
    calls = 0
    for position, said in enumerate(chat.messages):
        text = _text(said)
        if position not in pairs and (text or said.role == "tool"):
            yield "message", Message(role=said.role, content=text or "")
        for call in said.tool_calls or ():
            yield "tool_call", _tool_call(call, results.get(calls))
            calls += 1
    if chat.reward is not None:
        yield "completion", _completion(chat.reward)


def _text(said: _Said) -> str | None:
    """What was said; parts that are not text (images, sound) have no words."""
    if said.content is None or isinstance(said.content, str):
        return said.content
    return "\n".join(part.text or "" for part in said.content if part.type == "text")


def _tool_call(call: _Call, result: str | None) -> ToolCall:
    error_type = None
    if result is None:
        error_type = "no_result"
    elif result.startswith("Error"):
        error_type = "tool_error"
    made = ToolCall(
        tool=call.function.name,
        status="error" if error_type else "success",
        call_id=call.id,
        error_type=error_type,
    )
    # Only if there is one: the field is left out while it holds its own default.
    if arguments := _arguments(call.function.arguments):
        made.arguments = arguments
    if result is not None:
        made.result = _raw(result)
    return made


def _arguments(raw: msgspec.Raw) -> msgspec.Raw | None:
    """Arguments that are text which holds a JSON object, as that object."""
    value = msgspec.json.decode(raw) if raw else None
    if value is None:
        return None
    if isinstance(value, dict):
        return _compact(bytes(raw))
    if not isinstance(value, str):
        msg = "arguments are text or an object"
        raise ValueError(msg)
    try:
        if isinstance(msgspec.json.decode(value), dict):
            return _compact(value.encode())
    except (ValueError, RecursionError):
        pass
    return _raw(value)


def _compact(json: bytes) -> msgspec.Raw:
    """The same digits and order, without line breaks and indents."""
    return msgspec.Raw(msgspec.json.format(json, indent=-1))


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _completion(reward: float) -> Completion:
    if reward >= 1:
        return Completion(outcome="success", reward=reward)
    return Completion(outcome="partial" if reward > 0 else "failure", reward=reward)


def _in_envelopes(chat: _Chat, payloads: Sequence[_Typed]) -> list[ChatEvent]:
    # A long chat of this minute must not end further ahead than an event may be.
    step = timedelta(seconds=min(1.0, SPAN_S_MAX / (len(payloads) or 1)))
    start = chat.created_at.astimezone(UTC)
    meta = _meta(chat)
    # Agents number their chats alike; only one agent's chats of one namespace are one.
    whose = msgspec.json.encode([meta.namespace, chat.agent, chat.id])
    events = []
    for index, (kind, payload) in enumerate(payloads):
        raw = _raw(payload)
        # A grown chat has its completion further down; it is the same if it says so.
        place = "" if kind == "completion" else str(index)
        event = Envelope(
            id=import_id(whose, place.encode(), kind.encode(), bytes(raw)),
            type=kind,
            timestamp=start + step * index,
            agent=chat.agent,
            payload=raw,
            meta=meta,
        )
        events.append(ChatEvent(event.id, msgspec.json.encode(event)))
    return events


def _meta(chat: _Chat) -> Meta:
    tags = chat.tags if isinstance(chat.tags, list) else []
    words = [tag for tag in tags if isinstance(tag, str)]
    return Meta(
        session_id=chat.id,
        namespace="default" if chat.namespace is None else chat.namespace,
        user_id=chat.user_id if isinstance(chat.user_id, str) else None,
        task=chat.task if isinstance(chat.task, str) else None,
        tags=words if words and len(words) == len(tags) else None,
    )


def import_id(*parts: bytes) -> str:
    """The UUID that these parts, in this order, always get."""
    # Digests of one length each, so that parts cannot run into one another.
    digests = b"".join(hashlib.sha256(part).digest() for part in parts)
    return str(uuid.uuid5(IMPORT_NAMESPACE, digests.hex()))
