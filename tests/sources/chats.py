"""Builders of chat transcripts, and the events that they become."""

from typing import Any

import msgspec

from semloop.event import Envelope, Payload, ToolCall, decode_payload, decode_strict
from sources.transcripts.format import Value
from sources.transcripts.imported import ImportedEvent
from sources.transcripts.ledger import Ledger
from sources.transcripts.openai_chat import FORMAT
from sources.transcripts.options import Options

Decoded = list[tuple[Envelope, Payload]]


def message_of(
    role: str, content: object = "hello", **rest: object
) -> dict[str, object]:
    """Build a message; `rest` adds fields."""
    return {"role": role, "content": content, **rest}


def assistant_calls(
    *ids: str, content: str | None = None, arguments: object = "{}"
) -> Any:
    """Build a message of the assistant with one tool call per id."""
    function = {"name": "find", "arguments": arguments}
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [
            {"id": i, "type": "function", "function": function} for i in ids
        ],
    }


def result(call_id: str | None, content: object = "found") -> dict[str, object]:
    """Build the message with the result of a tool call."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def a_chat(*messages: object, **fields: object) -> bytes:
    """Encode a transcript of these messages; `fields` replaces or adds fields."""
    chat = {
        "id": "chat-1",
        "agent": "helpdesk",
        "created_at": "2026-01-02T03:04:05+02:00",
        "messages": messages,
    }
    return msgspec.json.encode(chat | fields)


def chat_events(
    line: bytes, ledger: Ledger | None = None
) -> tuple[str, list[ImportedEvent]]:
    """Return the session id and the events of a chat, and check its ledger."""
    ledger = Ledger() if ledger is None else ledger
    value = Value(1, line, msgspec.json.decode(line))
    made = list(FORMAT.read([value], Options(), ledger))
    ledger.check()
    sessions = {session for _, session, _ in made}
    assert len(sessions) <= 1
    return next(iter(sessions), ""), [event for _, _, event in made]


def ids_of(line: bytes) -> list[str]:
    """Return the ids of a transcript's events."""
    found = chat_events(line)
    return [event.id for event in found[1]]


def decoded(line: bytes) -> Decoded:
    """Return the decoded events of a transcript, in order."""
    found = chat_events(line)
    events = []
    for event in found[1]:
        envelope = decode_strict(event.value)
        assert envelope.id == event.id
        assert envelope.meta.session_id == found[0]
        events.append((envelope, decode_payload[envelope.type](envelope.payload)))
    return events


def payloads(line: bytes) -> list[Payload]:
    """Return the payloads of all events of a transcript."""
    return [payload for _, payload in decoded(line)]


def tool_calls(line: bytes) -> list[ToolCall]:
    """Return the tool calls of a transcript."""
    return [p for p in payloads(line) if isinstance(p, ToolCall)]


def outcomes(line: bytes) -> list[tuple[str, str | None, bytes]]:
    """Return (status, error type, result) of each tool call."""
    return [(c.status, c.error_type, bytes(c.result)) for c in tool_calls(line)]
