"""Trajectories of OpenHands: actions of the agent and observations that answer them."""

from collections.abc import Iterable, Mapping

from semloop.texts.times import time_in
from sources.transcripts.conversation import Conversation
from sources.transcripts.drafts import Draft
from sources.transcripts.format import Container, Format
from sources.transcripts.message_lines import Lines, TellValue, documents_or_lines
from sources.transcripts.messages import read_message
from sources.transcripts.parts import first, plain, word
from sources.transcripts.trajectories import tell_text
from sources.transcripts.unread import (
    keep,
    keep_in_first,
    keep_parts,
    taken,
    unread,
    unread_parts,
)

AGENT = "openhands"
_MESSAGES = ("message", "system", "think", "finish")
_TEXTS = ("content", "thought", "final_thought")
_RESULTS = ("content", "output", "error")
# Fields of an event that are read, or that tie it to others.
_READ = frozenset([
    "timestamp", "source", "action", "args", "observation", "content", "cause", "kind",
    "llm_message", "message", "tool_call_id", "action_id", "error",
])  # fmt: skip
_NEW_READ = ("tool_name", "reasoning_content", "thought")


def _is_event(value: object) -> bool:
    if not isinstance(value, dict) or "source" not in value:
        return False
    return "action" in value or "observation" in value or "kind" in value


def _recognize(values: list[object], container: Container) -> str | None:
    value = values[0]
    if _is_event(value):
        return "its values are actions and observations with a source"
    if isinstance(value, list) and value and _is_event(value[0]):
        return "each value is a list of actions and observations"
    history = value.get("history") if isinstance(value, dict) else None
    if isinstance(history, list) and history and _is_event(history[0]):
        return "its history has actions and observations"
    return None


def _tell(talk: Conversation, document: dict[str, object]) -> Iterable[str]:
    history = first(document, ("history", "messages"))
    tell = _events_of()
    for event in history if isinstance(history, list) else []:
        tell(talk, event)
    return (taken(document, ("history", "messages")),)


def _events_of() -> TellValue:
    """Return what tells the events of one trajectory."""
    actions: dict[str, Draft] = {}

    def tell(talk: Conversation, event: object) -> None:
        if not isinstance(event, dict):
            talk.ledger.met += 1
            talk.ledger.leave_out("event", "is no object")
            return
        talk.at_unit(time_in(event))
        first_of = len(talk.drafts)
        if "kind" in event:
            draft = _new_event(talk, event, actions)
        else:
            draft = _event(talk, event, actions)
        rest = unread(event, {*_READ, *_NEW_READ})
        if draft is None:
            keep_in_first(talk, first_of, rest, "event")
        else:
            keep(draft, rest)

    return tell


def _event(
    talk: Conversation, event: dict[str, object], actions: dict[str, Draft]
) -> Draft | None:
    """Read an event; return the earlier one that it belongs to, if there is one."""
    args = event.get("args")
    fields = args if isinstance(args, dict) else {}
    kind = event.get("action")
    role = "user" if event.get("source") == "user" else "assistant"
    if kind in _MESSAGES:
        role = "system" if kind == "system" else role
        text = first(fields, _TEXTS)
        first_of = len(talk.drafts)
        before = talk.ledger.met
        tell_text(
            talk,
            role,
            text or event.get("message"),
            None if kind == "message" else str(kind),
        )
        if talk.ledger.met == before:
            talk.ledger.met += 1
            talk.ledger.leave_out(f"{kind} action", "is empty")
        rest = unread(fields, [taken(fields, _TEXTS)])
        if text and event.get("message") not in (None, text):
            rest["message"] = event["message"]
        keep_in_first(talk, first_of, rest, f"{kind} action")
    elif isinstance(kind, str):
        tell_text(talk, "assistant", fields.get("thought"), "reasoning")
        given = {name: v for name, v in fields.items() if name != "thought"}
        talk.ledger.met += 1
        draft = actions[str(event.get("id"))] = talk.call(kind, given, None)
        keep(draft, unread(event, {*_READ, "args"} - {"message"}))
    else:
        return _observation(talk, event, actions)
    return None


def _observation(
    talk: Conversation, event: dict[str, object], actions: dict[str, Draft]
) -> Draft | None:
    talk.ledger.met += 1
    content = plain(event.get("content"))
    kind = str(event.get("observation"))
    extras = event.get("extras")
    draft = actions.pop(str(event.get("cause")), None)
    rest = unread(event, {"content", *_READ} - {"message"})
    if draft is None:
        text = content if isinstance(content, str) else word(event, "message")
        if text:
            keep(talk.say("system", text, {"part": kind[:100]}), rest)
            return talk.drafts[-1]
        talk.ledger.leave_out("observation", "is empty")
        return None
    keep(draft, rest if kind == draft.payload.tool else {**rest, "observation": kind})  # type: ignore[union-attr]
    talk.ledger.kept += 1
    failed = (
        True
        if kind == "error"
        else _exit_code(extras if isinstance(extras, dict) else {})
    )
    talk.finish_now(draft, content if content is not None else "", failed)
    return draft


def _exit_code(extras: Mapping[str, object]) -> bool | None:
    metadata = extras.get("metadata")
    inner = metadata if isinstance(metadata, dict) else extras
    code = first(inner, ("exit_code",))
    return code != 0 if isinstance(code, int) and not isinstance(code, bool) else None


def _new_event(
    talk: Conversation, event: dict[str, object], actions: dict[str, Draft]
) -> Draft | None:
    """Read an event of the SDK: MessageEvent, ActionEvent, ObservationEvent."""
    draft = None
    answers = event.get("llm_message")
    observation = event.get("observation")
    if isinstance(answers, dict):
        read_message(talk, answers, talk.at)
    elif word(event, "tool_name") and "action" in event:
        tell_text(talk, "assistant", event.get("reasoning_content"), "reasoning")
        tell_text(talk, "assistant", event.get("thought"), None)
        talk.ledger.met += 1
        tool = word(event, "tool_name") or "tool"
        call_id = word(event, "tool_call_id")
        called = talk.call(tool, event.get("action"), call_id)
        actions[str(event.get("id"))] = called
        keep(called, unread(event, {*_READ, *_NEW_READ}))
    elif observation is not None or "error" in event:
        talk.ledger.met += 1
        draft = actions.pop(str(event.get("action_id")), None)
        inner = observation if isinstance(observation, dict) else event
        value = first(inner, _RESULTS)
        failed = (
            True if "error" in event or inner.get("is_error") else _exit_code(inner)
        )
        if draft is not None:
            talk.ledger.kept += 1
            talk.finish_now(draft, plain(value if value is not None else inner), failed)
        else:
            draft = talk.say("tool", str(plain(value)))
        keep(draft, unread(inner, [taken(inner, _RESULTS), "is_error", *_READ]))
        keep_parts(draft, unread_parts(value))
        if event.get("tool_name") != getattr(draft.payload, "tool", None):
            keep(draft, unread({"tool_name": event.get("tool_name")}, ()))
    else:
        talk.ledger.met += 1
        talk.ledger.leave_out(f"{str(event['kind'])[:40]}", "has no message")
    return draft


_LINES = Lines(_is_event, lambda value: not _is_event(value), _events_of)
FORMAT = Format(
    "openhands",
    "trajectories of OpenHands",
    _recognize,
    documents_or_lines(_tell, _LINES, AGENT),
)
