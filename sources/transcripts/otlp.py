"""OTLP in JSON: spans with the attributes of OpenTelemetry's GenAI conventions."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from semloop.texts.times import time_of
from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import session_id
from sources.transcripts.drafts import Head
from sources.transcripts.format import Container, Format, Value
from sources.transcripts.parts import first, word
from sources.transcripts.sessions import OpenSessions, lines_of_sessions
from sources.transcripts.spans import (
    Kind,
    Reported,
    Span,
    in_order,
    span_ids,
    tell_span,
)
from sources.transcripts.unread import leave_out, unread
from sources.transcripts.usage import tokens_of

AGENT = "otlp"
_MODEL = frozenset(["chat", "text_completion", "generate_content"])
# Attributes and fields of spans that are read, or of which ids are made.
_READ = frozenset([
    "gen_ai.conversation.id", "session.id", "gen_ai.agent.name", "service.name",
    "gen_ai.operation.name", "gen_ai.tool.name", "gen_ai.input.messages",
    "gen_ai.tool.call.arguments", "gen_ai.output.messages", "gen_ai.tool.call.result",
    "gen_ai.response.model", "gen_ai.usage.input_tokens", "gen_ai.tool.call.id",
    "gen_ai.usage.output_tokens", "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.reasoning.output_tokens",
])  # fmt: skip
_OF_SPAN = (
    "traceId", "spanId", "parentSpanId", "startTimeUnixNano", "endTimeUnixNano",
    "attributes", "events", "status", "kind", "flags",
)  # fmt: skip
_ERROR_CODES = (2, "STATUS_CODE_ERROR")


def _recognize(values: list[object], container: Container) -> str | None:
    value = values[0]
    if isinstance(value, dict) and isinstance(value.get("resourceSpans"), list):
        return "its values have resourceSpans"
    return None


class _Batches:
    """The sessions of one file: conversations, or traces without one."""

    def __init__(self) -> None:
        self._reported: dict[str, Reported] = {}

    def tell(self, sessions: OpenSessions, value: Value) -> Conversation | None:
        found = list(_spans(value.json))
        if isinstance(value.json, dict):
            rest = unread(value.json, ["resourceSpans"])
            leave_out(sessions.ledger, rest, "batch")
        if not found:
            sessions.ledger.met += 1
            sessions.ledger.leave_out("value", "has no spans")
        by_span = {id(span): (name, agent) for name, agent, span in found}
        last = None
        for span in in_order([span for _, _, span in found]):
            name, agent = by_span[id(span)]
            last = self._tell(sessions, name, agent, span)
        return last

    def _tell(
        self, sessions: OpenSessions, name: str, agent: str | None, span: Span
    ) -> Conversation:
        options = sessions.options

        def make() -> Conversation:
            named = agent or options.agent or AGENT
            head = Head(named[:200], name, options.namespace, options.user)
            return Conversation(head, options, sessions.ledger)

        talk = sessions.get(name, make)
        tell_span(talk, span, self._reported.setdefault(name, Reported()))
        return talk


def _spans(batch: object) -> Iterator[tuple[str, str | None, Span]]:
    for resource in _list(batch, "resourceSpans"):
        shared = _attributes(resource.get("resource"))
        around = unread(resource, ["resource", "scopeSpans"])
        if isinstance(own := resource.get("resource"), dict):
            around |= unread(own, ["attributes"])
        for scope in _list(resource, "scopeSpans"):
            of_scope = unread(scope, ["spans"])
            for row in _list(scope, "spans"):
                yield _span(row, shared, {**around, **of_scope})


def _span(
    row: Mapping[str, object],
    shared: Mapping[str, object],
    around: Mapping[str, object],
) -> tuple[str, str | None, Span]:
    found = {**shared, **_attributes(row)}
    events = []
    for event in _list(row, "events"):
        found.update(_attributes(event))
        own = {n: v for n, v in _attributes(event).items() if n not in _READ}
        named = unread(event, ["attributes", "timeUnixNano"])
        if named or own:
            events.append({**named, **own})
    trace = word(row, "traceId") or "trace"
    name = word(found, "gen_ai.conversation.id", "session.id") or trace
    agent = word(found, "gen_ai.agent.name", "service.name")
    operation = word(found, "gen_ai.operation.name")
    kind: Kind = "other"
    if operation in _MODEL or "gen_ai.output.messages" in found:
        kind = "model"
    elif operation == "execute_tool" or "gen_ai.tool.name" in found:
        kind = "tool"
    status = row.get("status")
    failed = isinstance(status, dict) and status.get("code") in _ERROR_CODES
    message = word(status, "message") if isinstance(status, dict) else None
    span = Span(
        kind=kind,
        name=word(found, "gen_ai.tool.name") or word(row, "name") or "span",
        start=time_of(row.get("startTimeUnixNano")),
        end=time_of(row.get("endTimeUnixNano")),
        input=first(found, ("gen_ai.input.messages", "gen_ai.tool.call.arguments")),
        output=first(found, ("gen_ai.output.messages", "gen_ai.tool.call.result")),
        error=(message or word(found, "error.type") or "failed") if failed else None,
        model=word(found, "gen_ai.response.model", "gen_ai.request.model"),
        tokens=tokens_of({
            "input_tokens": found.get("gen_ai.usage.input_tokens"),
            "output_tokens": found.get("gen_ai.usage.output_tokens"),
            "cached_tokens": found.get("gen_ai.usage.cache_read.input_tokens"),
            "reasoning_tokens": found.get("gen_ai.usage.reasoning.output_tokens"),
        }),
        call_id=word(found, "gen_ai.tool.call.id"),
        ids=span_ids(trace, row.get("spanId"), row.get("parentSpanId")),
        rest={**around, **_rest(row, {**shared, **_attributes(row)}, events, kind)},
    )  # fmt: skip
    return session_id(name), agent, span


def _rest(
    row: Mapping[str, object],
    attributes: Mapping[str, object],
    events: list[dict[str, object]],
    kind: Kind,
) -> dict[str, object]:
    rest = unread(row, _OF_SPAN)
    if kind == "tool" and "gen_ai.tool.name" not in attributes:
        rest.pop("name", None)
    status = row.get("status")
    if isinstance(status, dict):
        failed = status.get("code") in _ERROR_CODES
        rest |= unread(status, ["code", "message"] if failed else ["code"])
    operation = attributes.get("gen_ai.operation.name")
    if operation not in (None, "execute_tool", *_MODEL):
        rest["gen_ai.operation.name"] = operation
    rest |= {n: v for n, v in attributes.items() if n not in _READ}
    return {**rest, "events": events} if events else rest


def _list(fields: object, name: str) -> list[dict[str, object]]:
    found = fields.get(name) if isinstance(fields, dict) else None
    return [x for x in found if isinstance(x, dict)] if isinstance(found, list) else []


def _attributes(fields: object) -> dict[str, object]:
    return {
        str(item.get("key")): _value(item.get("value"))
        for item in _list(fields, "attributes")
    }


def _value(value: object) -> object:
    """Return the plain value of an attribute, which names its type."""
    if not isinstance(value, dict) or not value:
        return value
    kind, inner = next(iter(value.items()))
    if kind == "intValue" and isinstance(inner, str):
        # Of 64 bits, as OTLP says; Python refuses thousands of digits.
        is_number = inner.removeprefix("-").isdecimal() and len(inner) <= 20
        return int(inner) if is_number else inner
    if kind == "arrayValue":
        return [_value(x) for x in _list(inner, "values")]
    if kind == "kvlistValue":
        return {
            str(x.get("key")): _value(x.get("value")) for x in _list(inner, "values")
        }
    return inner


def _start(batch: object) -> datetime | None:
    """Return the start of the first span of a batch."""
    found = (
        time_of(row.get("startTimeUnixNano"))
        for resource in _list(batch, "resourceSpans")
        for scope in _list(resource, "scopeSpans")
        for row in _list(scope, "spans")
    )
    return min((at for at in found if at is not None), default=None)


FORMAT = Format(
    "otlp",
    "spans in OTLP JSON",
    _recognize,
    lines_of_sessions(lambda: _Batches().tell, _start),
)
