"""Runs of LangSmith: models, tools and chains, with the feedback on them."""

from datetime import datetime

from semloop.texts.times import time_of
from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import session_id
from sources.transcripts.drafts import Head
from sources.transcripts.format import Container, Format, Value
from sources.transcripts.outcomes import tell_rating
from sources.transcripts.parts import word
from sources.transcripts.sessions import OpenSessions, lines_of_sessions
from sources.transcripts.spans import Kind, Reported, Span, span_ids, tell_span
from sources.transcripts.unread import unread
from sources.transcripts.usage import Tokens, tokens_of, usage_of

AGENT = "langsmith"
_KINDS: dict[object, Kind] = {"llm": "model", "tool": "tool", "retriever": "tool"}
_READ = frozenset([
    "trace_id", "name", "run_type", "start_time", "end_time", "inputs", "outputs",
    "error", "parent_run_id", "child_runs", "feedback", "feedback_stats",
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_token_details",
    "completion_token_details", "dotted_order", "parent_run_ids", "child_run_ids",
])  # fmt: skip
_THREADS = ("thread_id", "conversation_id", "session_id")


def _recognize(values: list[object], container: Container) -> str | None:
    value = values[0]
    if isinstance(value, dict) and "run_type" in value and (
        "inputs" in value or "outputs" in value
    ):  # fmt: skip
        return "its values are runs with run_type and inputs"
    return None


def _metadata(run: dict[str, object]) -> dict[str, object]:
    extra = run.get("extra")
    found = extra.get("metadata") if isinstance(extra, dict) else run.get("metadata")
    return found if isinstance(found, dict) else {}


class _Runs:
    """The sessions of one file: threads, or traces where there is no thread."""

    def __init__(self) -> None:
        self._reported: dict[str, Reported] = {}
        self._threads: dict[str, str] = {}

    def tell(self, sessions: OpenSessions, value: Value) -> Conversation | None:
        run = value.json
        if not isinstance(run, dict):
            sessions.ledger.met += 1
            sessions.ledger.leave_out("value", "is no object")
            return None
        return self._tell(sessions, run, None)

    def _tell(
        self, sessions: OpenSessions, run: dict[str, object], root: str | None
    ) -> Conversation:
        trace = word(run, "trace_id") or root or word(run, "id") or "trace"
        thread = word(_metadata(run), *_THREADS) or self._threads.get(trace)
        if thread:
            self._threads[trace] = thread
        name = session_id(thread or trace)
        talk = sessions.get(name, lambda: _conversation(sessions, name, run))
        tell_span(talk, _span(run, trace), self._reported.setdefault(name, Reported()))
        children = run.get("child_runs")
        for child in children if isinstance(children, list) else []:
            if isinstance(child, dict):
                self._tell(sessions, child, trace)
        _feedback(talk, run)
        return talk


def _feedback(talk: Conversation, run: dict[str, object]) -> None:
    stats = run.get("feedback_stats")
    talk.at_unit(time_of(run.get("end_time")), f"rating {word(run, 'id')}")
    for name, found in stats.items() if isinstance(stats, dict) else ():
        talk.ledger.met += 1
        score = found.get("avg") if isinstance(found, dict) else found
        tell_rating(talk, {"key": name, "score": score})
    feedback = run.get("feedback")
    for one in feedback if isinstance(feedback, list) else []:
        talk.ledger.met += 1
        tell_rating(talk, one)


def _span(run: dict[str, object], trace: str) -> Span:
    outputs = run.get("outputs")
    usage = usage_of(run) or tokens_of(run)
    if usage is None and isinstance(outputs, dict):
        usage = _output_tokens(outputs)
    kind = _KINDS.get(run.get("run_type"), "other")
    output: object = outputs
    if kind == "tool" and isinstance(outputs, dict) and len(outputs) == 1:
        output = next(iter(outputs.values()))
    error = run.get("error")
    return Span(
        kind=kind,
        name=word(run, "name") or "tool",
        start=time_of(run.get("start_time")),
        end=time_of(run.get("end_time")),
        input=run.get("inputs"),
        output=output,
        error=error if isinstance(error, str) and error else None,
        model=word(_metadata(run), "ls_model_name", "model"),
        tokens=usage,
        ids=span_ids(trace, run.get("id"), run.get("parent_run_id")),
        rest=unread(run, _READ if kind == "tool" else _READ - {"name"}),
    )


def _start(run: object) -> datetime | None:
    return time_of(run.get("start_time")) if isinstance(run, dict) else None


def _output_tokens(outputs: dict[str, object]) -> Tokens | None:
    inner = outputs.get("llm_output")
    return usage_of(outputs) or (usage_of(inner) if isinstance(inner, dict) else None)


def _conversation(
    sessions: OpenSessions, name: str, run: dict[str, object]
) -> Conversation:
    options = sessions.options
    head = Head(
        agent=options.agent or word(run, "session_name") or AGENT,
        session_id=name,
        namespace=options.namespace,
        user_id=word(_metadata(run), "user_id") or options.user,
        start=time_of(run.get("start_time")),
    )
    return Conversation(head, options, sessions.ledger)


FORMAT = Format(
    "langsmith",
    "runs of LangSmith",
    _recognize,
    lines_of_sessions(lambda: _Runs().tell, _start),
)
