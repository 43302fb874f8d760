"""Session files of Claude Code: one line a message, appended while it runs.

The lines of a subagent are a session of their own, named after that of its caller.
"""

from itertools import islice

from semloop.event import Message
from semloop.texts.times import time_in
from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import session_id
from sources.transcripts.drafts import Draft
from sources.transcripts.format import Container, Format, Value
from sources.transcripts.messages import read_message, set_usage
from sources.transcripts.parts import word
from sources.transcripts.sessions import OpenSessions, TellLine, lines_of_sessions
from sources.transcripts.unread import keep, keep_in_first, unread
from sources.transcripts.usage import Tokens, model_of, usage_of

AGENT = "claude-code"
_MESSAGES = ("user", "assistant")
_TYPES = (
    *_MESSAGES,
    "summary",
    "system",
    "file-history-snapshot",
    "queue-operation",
    "progress",
)
# Fields of a line that are read, or that only tie lines to each other.
_READ = frozenset([
    "sessionId", "session_id", "uuid", "timestamp", "message", "toolUseResult",
    "agentId", "parentUuid", "logicalParentUuid", "sourceToolAssistantUUID",
    "requestId", "leafUuid", "userType",
])  # fmt: skip


def _recognize(values: list[object], container: Container) -> str | None:
    for value in values:
        if not isinstance(value, dict) or value.get("type") not in _TYPES:
            return None
        if "sessionId" in value and ("uuid" in value or "message" in value):
            return "its lines have sessionId, uuid and message"
    return None


class _Lines:
    """What one line leaves for the next ones of its file."""

    def __init__(self) -> None:
        # Lines of one answer repeat its usage, so only one event gets it. By session,
        # of the last answer: its id and that event.
        self._answers: dict[str, tuple[str, Draft | None]] = {}

        self._known: dict[str, dict[str, object]] = {}

    def tell(self, sessions: OpenSessions, value: Value) -> Conversation | None:
        line, ledger = value.json, sessions.ledger
        given = (
            word(line, "sessionId", "session_id") if isinstance(line, dict) else None
        )
        kind = line.get("type") if isinstance(line, dict) else None
        if not isinstance(line, dict) or given is None:
            ledger.met += 1
            ledger.leave_out(f"{str(kind or 'other')[:40]} line", "has no session")
            return None
        name = session_id(given)
        if line.get("isSidechain") and (agent := word(line, "agentId")):
            name = session_id(f"{given}/{agent}")
        talk = sessions.growing(name, AGENT, time_in(line))
        talk.at_unit(time_in(line), word(line, "uuid") or sessions.place(value))
        first = len(talk.drafts)
        if self._tell(talk, line, str(kind or "other")):
            keep_in_first(talk, first, self._changed(name, line), "line")
        return talk

    def _changed(self, session: str, line: dict[str, object]) -> dict[str, object]:
        """Return the fields of a line that the lines before it did not have so."""
        before = self._known.setdefault(session, {})
        rest = unread(line, _READ)
        changed = {n: v for n, v in rest.items() if before.get(n) != v}
        before.update(changed)
        return changed

    def _tell(self, talk: Conversation, line: dict[str, object], kind: str) -> bool:
        """Tell what a line says; False if it was left out as a whole."""
        ledger, message = talk.ledger, line.get("message")
        if kind in _MESSAGES and isinstance(message, (dict, str)):
            self._message(talk, line, message, kind)
        elif isinstance(text := line.get("content"), str) and text:
            ledger.met += 1
            draft = talk.say("system", text, {"part": str(line.get("subtype") or kind)})
            keep(draft, unread(line, {"content", "subtype", *_READ}))
        elif kind == "summary" and isinstance(text := line.get("summary"), str):
            ledger.met += 1
            keep(talk.say("system", text, {"part": "summary"}),
                 unread(line, {"summary", *_READ}))  # fmt: skip
        else:
            ledger.met += 1
            ledger.leave_out(f"{kind[:40]} line", "has no message")
        return kind in _MESSAGES and isinstance(message, (dict, str))

    def _message(
        self,
        talk: Conversation,
        line: dict[str, object],
        message: dict[str, object] | str,
        kind: str,
    ) -> None:
        ledger = talk.ledger
        fields: dict[str, object] = (
            message if isinstance(message, dict) else {"content": message}
        )
        reported = {
            n: v for n, v in fields.items() if n not in ("usage", "model", "id")
        }
        reported.setdefault("role", kind)
        first = len(talk.drafts)
        read_message(talk, reported, talk.at)
        answer = word(fields, "id")
        if kind == "assistant" and len(talk.drafts) > first:
            self._usage(talk, fields, answer, first)
        if line.get("toolUseResult"):
            ledger.met += 1
            ledger.leave_out("toolUseResult", "is another form of a result")

    def _usage(
        self,
        talk: Conversation,
        fields: dict[str, object],
        answer: str | None,
        first: int,
    ) -> None:
        model, tokens = model_of(fields), usage_of(fields)
        session = talk.head.session_id
        before, draft = self._answers.get(session, ("", None))
        if answer is not None and before == answer:
            # The first lines may be written before the answer has its end.
            _raise_usage(draft, tokens)
            tokens = None
        else:
            draft = None
        answers = [d for d in islice(talk.drafts, first, None) if d.kind == "message"]
        if not answers and tokens is not None:
            talk.ledger.met += 1
            answers = [talk.say("assistant", "")]
        if answers:
            set_usage(answers[0], model, tokens)
        if answer is not None:
            if draft is None and answers and tokens is not None:
                draft = answers[0]
            self._answers[session] = (answer, draft)


def _raise_usage(draft: Draft | None, tokens: Tokens | None) -> None:
    """Give an event the tokens of a later line of its answer, if they are more."""
    answers = None if draft is None else draft.payload
    if draft is None or tokens is None or not isinstance(answers, Message):
        return
    if (tokens.output or 0) > (answers.output_tokens or 0):
        answers.input_tokens = answers.output_tokens = None
        set_usage(draft, None, tokens)


def follow() -> TellLine:
    """Return a reader of lines with a state of its own, for one file."""
    return _Lines().tell


FORMAT = Format(
    "claude-code",
    "session lines of Claude Code",
    _recognize,
    lines_of_sessions(follow),
)
