"""One chat transcript as the events of one session.

A chat produces all of its events or none. Event ids depend on the content and position
of a message, never on the length of the chat: importing it again adds nothing, and
importing it after it grew adds only the new messages.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec

from semloop.event import Completion, Envelope, EventType, Message, Meta, ToolCall
from sources.transcripts.imported import ImportedEvent, import_id

# Events of a chat are one second apart, closer if the chat would exceed this span.
SPAN_S_MAX = 240.0


class _Part(msgspec.Struct, gc=False):
    type: str
    text: str | None = None


class _Function(msgspec.Struct, gc=False):
    name: str
    arguments: msgspec.Raw = msgspec.Raw()


class _Call(msgspec.Struct, gc=False):
    id: str
    function: _Function


class _ChatMessage(msgspec.Struct, gc=False):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Chat(msgspec.Struct, gc=False):
    id: Annotated[str, msgspec.Meta(min_length=1)]
    agent: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
    messages: list[_ChatMessage]
    reward: float | None = None
    namespace: str | None = None
    # Optional: values of a wrong type are ignored rather than rejected.
    user_id: object = None
    task: object = None
    tags: object = None


# A payload with the name of its event type.
_TypedPayload = tuple[EventType, ToolCall | Message | Completion]

_decode_chat = msgspec.json.Decoder(_Chat).decode


def chat_events(line: bytes) -> tuple[str, list[ImportedEvent]] | None:
    """Return a transcript's session id and events; None if it is not a transcript."""
    try:
        chat = _decode_chat(line)
        # Pair first: a call's event includes its result, which follows later.
        payloads = list(_payloads(chat, _pair(chat.messages)))
        return chat.id, _in_envelopes(chat, payloads)
    # ValueError: malformed, wrong structure, or not UTF-8. OverflowError: the last
    # event would be after the year 9999, or the first, in UTC, before the year 1.
    except (ValueError, OverflowError, RecursionError):
        return None


def _pair(messages: Sequence[_ChatMessage]) -> dict[int, int]:
    """Map the position of each result to the number of its call in the chat.

    Call ids repeat within a chat, so a result belongs to the oldest call with its id
    that has no result yet.
    """
    waiting: defaultdict[str | None, deque[int]] = defaultdict(deque)
    pairs: dict[int, int] = {}
    calls = 0
    for position, message in enumerate(messages):
        if message.role == "tool" and waiting[message.tool_call_id]:
            pairs[position] = waiting[message.tool_call_id].popleft()
        for call in message.tool_calls or ():
            waiting[call.id].append(calls)
            calls += 1
    return pairs


def _payloads(chat: _Chat, pairs: dict[int, int]) -> Iterator[_TypedPayload]:
    results = {call: _text(chat.messages[at]) or "" for at, call in pairs.items()}
    calls = 0
    for position, message in enumerate(chat.messages):
        text = _text(message)
        if position not in pairs and (text or message.role == "tool"):
            yield "message", Message(role=message.role, content=text or "")
        for call in message.tool_calls or ():
            yield "tool_call", _tool_call(call, results.get(calls))
            calls += 1
    if chat.reward is not None:
        yield "completion", _completion(chat.reward)


def _text(message: _ChatMessage) -> str | None:
    """Return the text of a message; other parts (images, sound) are left out."""
    if message.content is None or isinstance(message.content, str):
        return message.content
    return "\n".join(part.text or "" for part in message.content if part.type == "text")


def _tool_call(call: _Call, result: str | None) -> ToolCall:
    error_type = None
    if result is None:
        error_type = "no_result"
    elif result.startswith("Error"):
        error_type = "tool_error"
    event = ToolCall(
        tool=call.function.name,
        status="error" if error_type else "success",
        call_id=call.id,
        error_type=error_type,
    )
    # Set only if present: the field is omitted while it has its default.
    if arguments := _arguments(call.function.arguments):
        event.arguments = arguments
    if result is not None:
        event.result = _raw(result)
    return event


def _arguments(raw: msgspec.Raw) -> msgspec.Raw | None:
    """Return the arguments; text that contains a JSON object becomes that object."""
    value = msgspec.json.decode(raw) if raw else None
    if value is None:
        return None
    if isinstance(value, dict):
        return _compact(bytes(raw))
    if not isinstance(value, str):
        msg = "arguments must be text or an object"
        raise ValueError(msg)
    try:
        if isinstance(msgspec.json.decode(value), dict):
            return _compact(value.encode())
    except (ValueError, RecursionError):
        pass
    return _raw(value)


def _compact(json: bytes) -> msgspec.Raw:
    """Remove line breaks and indentation; keep number digits and key order."""
    return msgspec.Raw(msgspec.json.format(json, indent=-1))


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _completion(reward: float) -> Completion:
    if reward >= 1:
        return Completion(outcome="success", reward=reward)
    return Completion(outcome="partial" if reward > 0 else "failure", reward=reward)


def _in_envelopes(
    chat: _Chat, payloads: Sequence[_TypedPayload]
) -> list[ImportedEvent]:
    # A long chat that has just begun must not end too far in the future to be accepted.
    step = timedelta(seconds=min(1.0, SPAN_S_MAX / (len(payloads) or 1)))
    start = chat.created_at.astimezone(UTC)
    meta = _meta(chat)
    # Different agents may use the same chat ids, so agent and namespace are in the id.
    chat_key = msgspec.json.encode([meta.namespace, chat.agent, chat.id])
    events = []
    for index, (kind, payload) in enumerate(payloads):
        raw = _raw(payload)
        # The completion of a chat that grew has a later index, so its id leaves the
        # index out.
        place = "" if kind == "completion" else str(index)
        event = Envelope(
            id=import_id(chat_key, place.encode(), kind.encode(), bytes(raw)),
            type=kind,
            timestamp=start + step * index,
            agent=chat.agent,
            payload=raw,
            meta=meta,
        )
        events.append(ImportedEvent(event.id, msgspec.json.encode(event)))
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
