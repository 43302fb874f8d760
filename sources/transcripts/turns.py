"""The parts of a message's content, as the events of one turn."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from semloop.texts.roles import Role
from sources.transcripts.conversation import Conversation
from sources.transcripts.drafts import Draft
from sources.transcripts.parts import (
    ARGUMENTS,
    CALL_IDS,
    REASONING_TYPES,
    RESULT_IDS,
    RESULTS,
    TOOL_NAMES,
    call_of,
    first,
    is_call,
    is_result,
    label,
    plain,
    result_of,
    text_of,
    without_data,
    word,
)
from sources.transcripts.unread import (
    keep,
    keep_parts,
    taken,
    unread,
    unread_parts,
    unread_text,
)

_REASONING_TEXTS = ("thinking", "text", "reasoning", "content", "summary")
_UI_ARGUMENTS = ("args", "input", "rawInput")
_UI_RESULTS = ("result", "output", "errorText")
# What decides whether a result is a failure, or says what it is of.
_RESULT_FLAGS = ("is_error", "isError", "success", "status", "functionResponse")


@dataclass(slots=True)
class Turn:
    """The events of one message; `texts` are parts that become one event together."""

    talk: Conversation
    role: Role
    extra: dict[str, object] | None
    texts: list[str] = field(default_factory=list)
    kept: list[object] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    rests: list[object] = field(default_factory=list)
    text_event: Draft | None = None
    result: Draft | None = None
    first: Draft | None = None

    def add(self, draft: Draft) -> Draft:
        """Note an event of the turn; the first one gets the message's own fields."""
        if self.first is None:
            self.first = draft
            if self.extra:
                draft.extra = {**(draft.extra or {}), **self.extra}
        return draft

    def say(self, content: str, part: str | None = None) -> Draft:
        """Add a message; `part` says of what kind, if it is no plain text."""
        extra: dict[str, object] | None = None if part is None else {"part": part}
        draft = self.add(self.talk.say(self.role, content, extra))
        if part is None or self.text_event is None:
            self.text_event = draft
        return draft

    def flush(self) -> None:
        """Make one event of the texts so far; an image alone becomes its label."""
        if not (self.texts or self.labels):
            return
        draft = self.say("\n".join(self.texts or self.labels))
        if self.kept:
            draft.extra = {**(draft.extra or {}), "parts": self.kept}
        keep_parts(draft, self.rests)
        self.talk.ledger.kept += len(self.texts) + len(self.labels) - 1
        self.texts, self.labels, self.kept, self.rests = [], [], [], []


def read_call(turn: Turn, call: Mapping[str, object]) -> None:
    """Tell a turn a call of a tool."""
    tool, arguments, call_id = call_of(call)
    draft = turn.add(turn.talk.call(tool, without_data(arguments).value, call_id))
    keep(draft, unread_call(call))


def unread_call(call: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a call that its event does not have."""
    rest: dict[str, object] = {}
    names = ("function", "custom", "functionCall")
    inner = next((f for n in names if isinstance(f := call.get(n), dict)), None)
    for fields in (call, inner):
        if fields is not None:
            of_call = (CALL_IDS, TOOL_NAMES, ARGUMENTS)
            known = {taken(fields, given) for given in of_call}
            rest |= unread(fields, {*known, *names, "status"})
    return rest


def read_content(turn: Turn, content: object) -> None:
    """Tell a turn the content of its message: a text, a part or a list of parts."""
    ledger = turn.talk.ledger
    if content is None or content == "":
        return
    if isinstance(content, str):
        ledger.met += 1
        turn.texts.append(content)
        return
    for part in content if isinstance(content, list) else [content]:
        ledger.met += 1
        if isinstance(part, str):
            part = {"type": "text", "text": part}  # noqa: PLW2901
        if isinstance(part, dict):
            read_part(turn, part)
        elif part is None:
            ledger.leave_out("content part", "is null")
        else:
            turn.texts.append(as_text(part))


def read_part(turn: Turn, part: dict[str, object]) -> None:
    """Tell a turn one part; the caller has met it in the ledger."""
    text = text_of(part)
    if text is not None and not is_call(part):
        if text:
            turn.texts.append(text)
            if rest := unread_text(part):
                turn.rests.append(rest)
        else:
            turn.talk.ledger.leave_out("text part", "is empty")
    elif part.get("type") in REASONING_TYPES:
        _reasoning_part(turn, part)
    elif is_result(part):
        turn.flush()
        turn.result = read_result(turn.talk, part)
    elif is_call(part):
        turn.flush()
        read_call(turn, part)
    elif _ui_tool(turn, part):
        pass
    elif part.get("type") in ("step-start", "redacted_thinking"):
        turn.talk.ledger.leave_out(f"{part['type']} part", "has no text")
    elif part.get("type") == "refusal" and isinstance(part.get("refusal"), str):
        turn.flush()
        keep(turn.say(str(part["refusal"]), "refusal"), unread(part, ["refusal"]))
    else:
        other_part(turn, part)


def _reasoning_part(turn: Turn, part: Mapping[str, object]) -> None:
    given = first(part, _REASONING_TEXTS)
    text = plain(given) if isinstance(given, list) else given
    if isinstance(text, str) and text:
        turn.flush()
        draft = turn.say(text, "reasoning")
        keep(draft, unread(part, [taken(part, _REASONING_TEXTS)]))
        keep_parts(draft, unread_parts(given) if isinstance(given, list) else [])
    else:
        turn.talk.ledger.leave_out("reasoning part", "has no text")


def other_part(turn: Turn, part: Mapping[str, object]) -> None:
    """Keep a part without text: an image, sound, a file, a source."""
    found = without_data(part)
    ledger = turn.talk.ledger
    if found.data:
        ledger.met += 1
        ledger.leave_out("data", f"of {str(part.get('type') or 'a')[:40]} parts")
    transcript = part.get("transcript")
    if isinstance(transcript, str) and transcript:
        turn.texts.append(transcript)
    else:
        turn.labels.append(label(part))
    turn.kept.append(found.value)


def _ui_tool(turn: Turn, part: Mapping[str, object]) -> bool:
    """Read a part of the AI SDK's messages that holds a call and its result."""
    kind = part.get("type")
    inner = part.get("toolInvocation")
    call = inner if isinstance(inner, dict) else part
    if not (isinstance(kind, str) and (
        kind in ("tool-invocation", "dynamic-tool") or kind.startswith("tool-")
    )):  # fmt: skip
        return False
    turn.flush()
    draft = read_invocation(turn, call, kind.removeprefix("tool-"))
    if call is inner:
        keep(draft, unread(part, ["toolInvocation"]))
    return True


def read_invocation(turn: Turn, call: Mapping[str, object], kind: str) -> Draft:
    """Tell a turn a call in the AI SDK's words, with its result if it has one."""
    tool = word(call, "toolName") or kind
    arguments = first(call, _UI_ARGUMENTS)
    call_id = word(call, "toolCallId")
    draft = turn.add(turn.talk.call(tool, arguments, call_id))
    known = {taken(call, _UI_ARGUMENTS), taken(call, _UI_RESULTS)}
    keep(draft, unread(call, {*known, "toolName", "toolCallId", "state", "step"}))
    failed = call.get("state") == "output-error"
    value = first(call, _UI_RESULTS)
    if value is not None:
        turn.talk.ledger.met += 1
        turn.talk.result(call_id, plain(value), name=tool, failed=failed or None)
    return draft


def read_result(talk: Conversation, part: Mapping[str, object]) -> Draft:
    """Give a call the result in a part; one without call becomes a message."""
    found = result_of(part)
    value = "" if found.value is None else found.value
    draft = talk.result(found.call_id, value, name=found.name, failed=found.failed)
    if draft is None:
        extra: dict[str, object] | None = (
            None if found.call_id is None else {"call_id": found.call_id}
        )
        text = value if isinstance(value, str) else as_text(value)
        draft = talk.say("tool", text, extra)
    _keep_result(draft, part, found.name)
    return draft


def _keep_result(draft: Draft, part: Mapping[str, object], name: str | None) -> None:
    """Keep what a result has next to its value."""
    inner = part.get("functionResponse")
    for fields in (part, inner if isinstance(inner, dict) else None):
        if fields is None:
            continue
        known = {taken(fields, RESULT_IDS), taken(fields, RESULTS)}
        keep(draft, unread(fields, {*known, *_RESULT_FLAGS, *TOOL_NAMES}))
        value = first(fields, RESULTS)
        keep_parts(draft, unread_parts(value))
        if isinstance(value, dict) and "value" in value and "type" in value:
            keep(draft, unread(value, ["value"]))
    if name is not None and name != getattr(draft.payload, "tool", None):
        keep(draft, {"name": name})


def as_text(value: object) -> str:
    """Return a JSON value as text."""
    return msgspec.json.encode(value).decode()
