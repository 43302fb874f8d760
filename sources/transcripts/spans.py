"""What the formats of traces share: spans of models and tools, as one session.

Each call of a model repeats the messages before it; only those that no earlier span of
the session reported become events. A call that a model asked for and the span of the
tool that ran it are one event.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import islice
from typing import Literal

import msgspec

from semloop.event import NAME_CHARS_MAX, Error, ToolCall
from sources.transcripts.conversation import Conversation
from sources.transcripts.drafts import Draft
from sources.transcripts.items import read_item
from sources.transcripts.messages import set_usage
from sources.transcripts.parts import first, plain
from sources.transcripts.unread import keep_in_first, leave_out, taken, unread
from sources.transcripts.usage import Tokens

LAST = datetime.max.replace(tzinfo=UTC)
_MESSAGES = ("messages", "choices", "generations", "output", "input")
# What makes two messages the same.
_SAME = ("role", "type", "content", "tool_calls", "tool_call_id", "parts")
Kind = Literal["model", "tool", "other"]


@dataclass(slots=True)
class Span:
    """One span: `input` and `output` are JSON values, `error` is a text.

    `rest`: its other fields, for the payload of its first event.
    """

    kind: Kind
    name: str
    start: datetime | None = None
    end: datetime | None = None
    input: object = None
    output: object = None
    error: str | None = None
    model: str | None = None
    tokens: Tokens | None = None
    call_id: str | None = None
    ids: dict[str, str] = field(default_factory=dict)
    rest: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Reported:
    """What the spans of one session have reported so far."""

    # Messages with their occurrence within one span: a later span repeats all of them.
    messages: set[tuple[bytes, int]] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    # Fields by the digest of name and value: of spans the last value of each name.
    fields: set[bytes] = field(default_factory=set)
    reported: dict[str, object] = field(default_factory=dict)


def tell_span(talk: Conversation, span: Span, reported: Reported) -> None:
    """Tell a conversation one span."""
    talk.spans = span.ids or None
    before = len(talk.drafts)
    if span.kind == "model":
        _model(talk, span, reported)
    elif span.kind == "tool":
        _tool(talk, span, reported)
    else:
        _other(talk, span)
    talk.spans = None
    if span.kind != "other" or span.error:
        rest = span.rest
        if span.kind == "model":
            rest = {**rest, **_unread_messages(span.input, "input")}
            rest |= _unread_messages(span.output, "output")
        changed = {n: v for n, v in rest.items() if reported.reported.get(n) != v}
        reported.reported.update(changed)
        keep_in_first(talk, before, changed, "span")
    if own := span.ids.get("span_id"):
        _place(talk, before, f"span {own}")


def _place(talk: Conversation, before: int, place: str) -> None:
    """Give new events without a place one that no order of the spans changes."""
    new = [d for d in islice(talk.drafts, before, None) if not d.placed]
    for number, draft in enumerate(new):
        draft.place, draft.placed = f"{place}/{number}", True


def messages_in(value: object) -> list[object]:
    """Return the messages that the input or the output of a model holds."""
    if isinstance(value, str):
        try:
            inner = msgspec.json.decode(value)
        except (ValueError, RecursionError):
            inner = None
        return messages_in(inner) if isinstance(inner, (dict, list)) else [value]
    if isinstance(value, list):
        # LangSmith has a list of messages for each prompt of a batch.
        flat = [
            m for item in value for m in (item if isinstance(item, list) else [item])
        ]
        return [_inner(item) for item in flat]
    if isinstance(value, dict):
        inner = first(value, _MESSAGES)
        if isinstance(inner, (list, dict)):
            return messages_in(inner)
        if isinstance(inner, str) and "role" not in value:
            return [inner]
        return [_inner(value)]
    return []


def _unread_messages(value: object, name: str) -> dict[str, object]:
    """Return what the input or the output of a model holds next to its messages."""
    if isinstance(value, str):
        try:
            inner = msgspec.json.decode(value)
        except (ValueError, RecursionError):
            return {}
        return _unread_messages(inner, name) if isinstance(inner, (dict, list)) else {}
    found: dict[str, object] = {}
    if isinstance(value, list):
        for item in value:
            found |= _unread_messages(item, name) if isinstance(item, list) else {}
            if isinstance(item, dict) and isinstance(item.get("message"), dict):
                found |= unread(item, ["message"])
    elif isinstance(value, dict):
        taken_ = taken(value, _MESSAGES)
        inner = value.get(taken_)
        if isinstance(inner, (list, dict)):
            found = unread(value, [taken_]) | _unread_messages(inner, name)
        elif isinstance(inner, str) and "role" not in value:
            found = unread(value, [taken_])
        elif isinstance(value.get("message"), dict):
            found = unread(value, ["message"])
    return {name: found} if found and name not in found else found


def _inner(item: object) -> object:
    if isinstance(item, dict):
        found = item.get("message")
        if isinstance(found, dict):
            return found
    return item


def _model(talk: Conversation, span: Span, reported: Reported) -> None:
    talk.at_unit(span.start)
    met: Counter[bytes] = Counter()
    for message in messages_in(span.input):
        _message(talk, message, reported, met, span.start, "user")
    before = len(talk.drafts)
    at = span.end or span.start
    for message in messages_in(span.output):
        _message(talk, message, reported, met, at, "assistant")
    answers = [d for d in list(talk.drafts)[before:] if d.kind == "message"]
    if not answers and span.tokens is not None:
        talk.ledger.met += 1
        talk.at_unit(at)
        answers = [talk.say("assistant", "")]
    if answers:
        set_usage(answers[-1], span.model, span.tokens)
    if span.error:
        talk.ledger.met += 1
        talk.at_unit(at)
        talk.add("error", Error(error_type="model_error", message=span.error))
    elif not answers and span.input is None and span.output is None:
        talk.ledger.met += 1
        talk.ledger.leave_out("model span", "has no input and output")


def _message(
    talk: Conversation,
    message: object,
    reported: Reported,
    met: Counter[bytes],
    at: datetime | None,
    role: str,
) -> None:
    if isinstance(message, str):
        message = {"role": role, "content": message}
    digest = blake2b(_key(message), digest_size=16).digest()
    met[digest] += 1
    new = _new_fields(message, reported)
    if (digest, met[digest]) in reported.messages:
        talk.ledger.met += 1
        talk.ledger.kept += 1
        leave_out(talk.ledger, new, "repeated message")
        return
    reported.messages.add((digest, met[digest]))
    if isinstance(message, dict):
        if not {"role", "type"} & set(message):
            message = {"role": role, "content": message}
        call_id = first(message, ("tool_call_id", "call_id"))
        if isinstance(call_id, str) and call_id in reported.calls:
            # The span of the tool has reported it.
            talk.ledger.met += 1
            talk.ledger.kept += 1
            leave_out(talk.ledger, new, "repeated message")
            return
    before = len(talk.drafts)
    read_item(talk, message if isinstance(message, dict) else {"content": message}, at)
    _place(talk, before, f"{digest.hex()} {met[digest]}")


def _new_fields(message: object, reported: Reported) -> dict[str, object]:
    """Return the fields next to its content that no message of the session had so."""
    if not isinstance(message, dict):
        return {}
    found = {}
    for name, value in unread(message, _SAME).items():
        text = msgspec.json.encode([name, value], order="deterministic")
        digest = blake2b(text, digest_size=16).digest()
        if digest not in reported.fields:
            reported.fields.add(digest)
            found[name] = value
    return found


def _key(message: object) -> bytes:
    """What makes two messages the same."""
    if isinstance(message, dict):
        kept = {n: message[n] for n in _SAME if message.get(n) not in (None, "", [])}
        if kept:
            return msgspec.json.encode(kept, order="deterministic")
    return msgspec.json.encode(message, order="deterministic")


def _tool(talk: Conversation, span: Span, reported: Reported) -> None:
    talk.ledger.met += 1
    talk.at_unit(span.start)
    draft = _waiting(talk, span)
    if draft is None:
        draft = talk.call(span.name, _plain_input(span.input), span.call_id)
    else:
        talk.ledger.kept += 1
        draft.spans = span.ids or None
    payload = draft.payload
    assert isinstance(payload, ToolCall)
    value = span.error if span.output is None and span.error else plain(span.output)
    talk.finish_now(draft, "" if value is None else value, True if span.error else None)
    if span.start is not None and span.end is not None and span.end >= span.start:
        payload.duration_ms = (span.end - span.start) / timedelta(milliseconds=1)
    if span.error and span.output is not None:
        draft.extra = {**(draft.extra or {}), "error": span.error}
    if payload.call_id is not None:
        reported.calls.add(payload.call_id)


def _waiting(talk: Conversation, span: Span) -> Draft | None:
    """Return the call that a model asked for and this span ran."""
    name = span.name[:NAME_CHARS_MAX]
    for draft in talk.drafts:
        if draft.waits and isinstance(call := draft.payload, ToolCall):
            same = span.call_id is None or call.call_id == span.call_id
            if same and call.tool == name:
                return draft
    return None


def _plain_input(value: object) -> object:
    """Return arguments as an object, also if their text is one twice."""
    if isinstance(value, dict) and set(value) == {"input"}:
        inner = value["input"]
        return inner if isinstance(inner, (dict, str)) else value
    return value


def _other(talk: Conversation, span: Span) -> None:
    talk.ledger.met += 1
    if span.error:
        talk.at_unit(span.end or span.start)
        kind = f"{span.name}_error"[:NAME_CHARS_MAX]
        talk.add("error", Error(error_type=kind, message=span.error))
    else:
        talk.ledger.leave_out("span", "is neither of a model nor of a tool")


def span_ids(trace: object, span: object, parent: object) -> dict[str, str]:
    """Return the ids of a span for `meta`."""
    given: Mapping[str, object] = {
        "trace_id": trace, "span_id": span, "parent_span_id": parent,
    }  # fmt: skip
    return {n: v[:500] for n, v in given.items() if isinstance(v, str) and v}


def in_order(spans: Sequence[Span]) -> list[Span]:
    """Return spans by the time of their start, those without one last."""
    return sorted(
        spans, key=lambda s: (s.start is None, s.start.timestamp() if s.start else 0.0)
    )
