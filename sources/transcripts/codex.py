"""Rollouts of Codex: lines of one session, with items of the Responses API."""

from hashlib import sha256
from itertools import islice

from semloop.event import Error
from semloop.texts.times import time_in
from sources.transcripts.codex_events import EVENT_TEXTS, Texts, keep_places
from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import session_id
from sources.transcripts.drafts import Draft
from sources.transcripts.format import Container, Format, Value
from sources.transcripts.items import read_item
from sources.transcripts.messages import set_usage
from sources.transcripts.parts import word
from sources.transcripts.sessions import OpenSessions, TellLine, lines_of_sessions
from sources.transcripts.unread import keep, keep_in_first, taken, unread
from sources.transcripts.usage import Tokens, model_of, tokens_of

AGENT = "codex"
_TYPES = ("session_meta", "response_item", "event_msg", "turn_context", "compacted")


def _recognize(values: list[object], container: Container) -> str | None:
    value = values[0]
    if not isinstance(value, dict) or value.get("type") not in _TYPES:
        return None
    if isinstance(value.get("payload"), dict) or value.get("type") == "compacted":
        return "its lines are session_meta and response_item"
    return None


class _Rollout:
    """The session of one file, which its first line names."""

    def __init__(self) -> None:
        self._session: str | None = None
        self._model: str | None = None
        self._answer: Draft | None = None
        self._total: object = None
        self._texts = Texts()

    def tell(self, sessions: OpenSessions, value: Value) -> Conversation | None:
        line, ledger = value.json, sessions.ledger
        payload = line.get("payload") if isinstance(line, dict) else None
        if not isinstance(line, dict) or not isinstance(payload, dict):
            ledger.met += 1
            ledger.leave_out("line", "has no payload")
            return None
        if self._session is None:
            named = sessions.options.session
            if line.get("type") == "session_meta" or named is None:
                named = word(payload, "id", "session_id") or named
            self._session = named or f"codex-{_hash(value)}"
        name = session_id(self._session)
        talk = sessions.growing(name, AGENT, time_in(line))
        talk.at_unit(time_in(line), sessions.place(value))
        first = len(talk.drafts)
        self._line(talk, str(line.get("type")), payload)
        keep_in_first(talk, first, unread(line, ["payload", "timestamp"]), "line")
        return talk

    def _line(self, talk: Conversation, kind: str, payload: dict[str, object]) -> None:
        ledger = talk.ledger
        if kind == "response_item":
            places = self._texts.item(talk, payload)
            before = len(talk.drafts)
            draft = read_item(talk, payload, talk.at)
            if draft is not None and payload.get("role") == "assistant":
                set_usage(draft, self._model, None)
            if places:
                keep_places(islice(talk.drafts, before, None), places)
            if len(talk.drafts) > before:
                self._answer = draft
            return
        ledger.met += 1
        if kind == "session_meta" and isinstance(
            text := payload.get("instructions"), str
        ):
            draft = talk.say("system", text, {"part": "instructions"})
            keep(draft, unread(payload, ["instructions", "timestamp"]))
        elif kind == "compacted" and isinstance(text := payload.get("message"), str):
            draft = talk.say("system", text, {"part": "summary"})
            keep(draft, unread(payload, ["message"]))
        elif kind == "event_msg":
            self._event(talk, payload)
        else:
            self._model = model_of(payload) or self._model
            ledger.leave_out(f"{kind[:40]} line", "has no message")

    def _event(self, talk: Conversation, payload: dict[str, object]) -> None:
        kind = str(payload.get("type"))
        info = payload.get("info")
        if kind == "token_count":
            last = info.get("last_token_usage") if isinstance(info, dict) else None
            total = info.get("total_token_usage") if isinstance(info, dict) else None
            tokens = tokens_of(last) if isinstance(last, dict) else None
            # The same count is reported again when nothing was asked meanwhile.
            if tokens is None or total == self._total:
                talk.ledger.leave_out("token_count line", "tells nothing new")
            else:
                self._total = total
                self._tokens(talk, tokens)
        elif kind in ("error", "stream_error", "turn_aborted"):
            text = word(payload, "message", "reason") or kind
            draft = talk.add("error", Error(error_type=kind, message=text))
            keep(draft, unread(payload, [taken(payload, ("message", "reason"))]))
        elif kind in EVENT_TEXTS:
            self._texts.event(talk, kind, payload)
        else:
            talk.ledger.leave_out(f"{kind[:40]} line", "is no message")

    def _tokens(self, talk: Conversation, tokens: Tokens) -> None:
        draft = self._answer
        if draft is None or not any(open_ is draft for open_ in talk.drafts):
            draft = talk.say("assistant", "")
        else:
            talk.ledger.kept += 1
        set_usage(draft, self._model, tokens)
        self._answer = None


def _hash(value: Value) -> str:
    return sha256(value.raw).hexdigest()[:16]


def follow() -> TellLine:
    """Return a reader of lines with a state of its own, for one file."""
    return _Rollout().tell


FORMAT = Format(
    "codex",
    "rollouts of Codex",
    _recognize,
    lines_of_sessions(follow),
)
