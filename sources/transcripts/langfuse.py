"""Traces and observations of Langfuse."""

from datetime import datetime, timedelta

from semloop.texts.times import EPOCH, time_of
from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import session_id
from sources.transcripts.drafts import Head
from sources.transcripts.format import Container, Format, Value
from sources.transcripts.outcomes import tell_rating
from sources.transcripts.parts import first, word
from sources.transcripts.sessions import OpenSessions, lines_of_sessions
from sources.transcripts.spans import (
    Kind,
    Reported,
    Span,
    in_order,
    messages_in,
    span_ids,
    tell_span,
)
from sources.transcripts.unread import keep_in_first, leave_out, unread
from sources.transcripts.usage import model_of, usage_of

AGENT = "langfuse"
_KINDS: dict[object, Kind] = {
    "GENERATION": "model", "TOOL": "tool", "RETRIEVER": "tool", "EMBEDDING": "other",
}  # fmt: skip
_OBSERVATIONS = frozenset([
    *_KINDS, "SPAN", "EVENT", "AGENT", "CHAIN", "EVALUATOR", "GUARDRAIL",
])  # fmt: skip
_READ = frozenset([
    "startTime", "endTime", "input", "output", "model", "traceId", "usage",
    "usageDetails", "parentObservationId", "sessionId", "userId", "completionStartTime",
    "createdAt", "updatedAt",
])  # fmt: skip
_OF_TRACE = frozenset([
    "timestamp", "sessionId", "userId", "observations", "scores", "createdAt",
    "updatedAt",
])  # fmt: skip
_TRACE = frozenset(["input", "output", "observations", "scores"])


def _recognize(values: list[object], container: Container) -> str | None:
    value = values[0]
    if not isinstance(value, dict):
        return None
    timed = "traceId" in value or "startTime" in value
    if value.get("type") in _OBSERVATIONS and timed:
        return "its values are observations with traceId and type"
    is_trace = "sessionId" in value or "observations" in value
    if "timestamp" in value and is_trace and _TRACE & set(value):
        return "its values are traces with sessionId and observations"
    return None


class _Traces:
    """The sessions of one file; an observation belongs to that of its trace."""

    def __init__(self) -> None:
        self._reported: dict[str, Reported] = {}
        self._sessions: dict[str, str] = {}

    def tell(self, sessions: OpenSessions, value: Value) -> Conversation | None:
        found = value.json
        if not isinstance(found, dict):
            sessions.ledger.met += 1
            sessions.ledger.leave_out("value", "is no object")
            return None
        is_trace = found.get("type") not in _OBSERVATIONS
        trace = word(found, "id") if is_trace else word(found, "traceId", "id")
        session = word(found, "sessionId") or self._sessions.get(trace or "") or trace
        if is_trace and trace and session:
            self._sessions[trace] = session
        name = session_id(session or f"langfuse-{value.number}")
        talk = sessions.get(name, lambda: _conversation(sessions, name, found))
        reported = self._reported.setdefault(name, Reported())
        if is_trace:
            self._trace(talk, found, reported)
        else:
            tell_span(talk, _span(found, trace), reported)
        return talk

    def _trace(
        self, talk: Conversation, trace: dict[str, object], reported: Reported
    ) -> None:
        first_of = len(talk.drafts)
        observations = trace.get("observations")
        rows = observations if isinstance(observations, list) else []
        spans = [_span(o, word(trace, "id")) for o in rows if isinstance(o, dict)]
        for row in rows:
            if not isinstance(row, dict):
                talk.ledger.met += 1
                talk.ledger.leave_out("observation", "is known by its id only")
        for span in in_order(spans):
            tell_span(talk, span, reported)
        if not any(span.kind == "model" for span in spans):
            start = time_of(trace.get("timestamp"))
            whole = Span(
                "model", "trace", start, start, trace.get("input"), trace.get("output")
            )
            if messages_in(whole.input) or messages_in(whole.output):
                tell_span(talk, whole, reported)
            rest = unread(trace, {"input", "output", *_OF_TRACE})
        else:
            # The observations have them, but not always in the same words.
            rest = unread(trace, _OF_TRACE)
            names = [name for name in ("input", "output") if name in rest]
            texts: dict[str, object] = {name: rest.pop(name) for name in names}
            leave_out(talk.ledger, texts, "trace with observations")
        if len(talk.drafts) > first_of:
            rest = {"trace": rest} if rest else {}
        keep_in_first(talk, first_of, rest, "trace")
        scores = trace.get("scores")
        for score in scores if isinstance(scores, list) else []:
            at = time_of(score.get("timestamp")) if isinstance(score, dict) else None
            talk.at_unit(at, f"rating {word(trace, 'id')}")
            talk.ledger.met += 1
            tell_rating(talk, score)


def _span(row: dict[str, object], trace: str | None) -> Span:
    failed = row.get("level") == "ERROR"
    message = word(row, "statusMessage")
    kind = _KINDS.get(row.get("type"), "other")
    return Span(
        kind=kind,
        name=word(row, "name") or "tool",
        start=time_of(row.get("startTime")),
        end=time_of(row.get("endTime")),
        input=row.get("input"),
        output=row.get("output"),
        error=(message or "failed") if failed else None,
        model=model_of(row),
        tokens=usage_of(row),
        ids=span_ids(trace, row.get("id"), row.get("parentObservationId")),
        rest=_rest(row, kind, failed=failed),
    )


def _rest(row: dict[str, object], kind: Kind, *, failed: bool) -> dict[str, object]:
    known = {*_READ, *(("name",) if kind == "tool" else ())}
    known |= {"statusMessage", "level"} if failed else set()
    rest = unread(row, known)
    return {n: v for n, v in rest.items() if (n, v) != ("level", "DEFAULT")}


def _start(value: object) -> datetime | None:
    """Return when a value begins; a trace does so before its observations."""
    if not isinstance(value, dict):
        return None
    at = time_of(first(value, ("startTime", "timestamp")))
    if at is None or value.get("type") in _OBSERVATIONS:
        return at
    return max(at, EPOCH) - timedelta(seconds=1)


def _conversation(
    sessions: OpenSessions, name: str, row: dict[str, object]
) -> Conversation:
    options = sessions.options
    head = Head(
        agent=options.agent or AGENT,
        session_id=name,
        namespace=options.namespace,
        user_id=word(row, "userId") or options.user,
        start=time_of(first(row, ("timestamp", "startTime"))),
    )
    return Conversation(head, options, sessions.ledger)


FORMAT = Format(
    "langfuse",
    "traces of Langfuse",
    _recognize,
    lines_of_sessions(lambda: _Traces().tell, _start),
)
