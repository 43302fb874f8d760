"""One message of a conversation, in the words of any chat API, as events.

OpenAI's, Anthropic's, LangChain's, Gemini's and the AI SDK's messages differ in names
only: a role, a content that is a text or parts, calls and results. Fields that have no
place in an event stay in its payload, under `source`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from semloop.event import NAME_CHARS_MAX, Message
from semloop.texts.roles import is_role, role_of
from semloop.texts.times import time_in
from sources.transcripts.conversation import Conversation
from sources.transcripts.drafts import Draft
from sources.transcripts.message_fields import (
    REASONINGS,
    SPEAKERS,
    content_of,
    keep_others,
    source_of,
    unwrapped,
)
from sources.transcripts.parts import (
    RESULT_IDS,
    failed_flag,
    first,
    is_result,
    label,
    plain,
    text_of,
    word,
)
from sources.transcripts.turns import (
    Turn,
    as_text,
    other_part,
    read_call,
    read_content,
    read_invocation,
)
from sources.transcripts.unread import (
    keep,
    keep_parts,
    unread_parts,
)
from sources.transcripts.usage import Tokens, model_of, usage_of


def read_messages(talk: Conversation, messages: Iterable[object]) -> None:
    """Tell a conversation all messages, in order."""
    for message in messages:
        read_message(talk, message)


def read_message(
    talk: Conversation, message: object, at: datetime | None = None
) -> Draft | None:
    """Tell a conversation one message; return its text's event, if it has one.

    Args:
        talk: receives the events.
        message: a JSON value.
        at: the time of the message, unless it has one of its own.
    """
    if isinstance(message, str):
        message = {"role": "user", "content": message}
    if not isinstance(message, dict):
        talk.ledger.met += 1
        talk.ledger.leave_out("message", "is no object")
        return None
    outer, message = message, unwrapped(message)
    own = time_in(message)
    if own is not None or at is not None:
        talk.at_unit(own or at, talk.place)
    else:
        talk.at_unit(None, talk.place)
    given = first(message, SPEAKERS)
    role, renamed = role_of(given)
    if not is_role(given):
        talk.ledger.note_role(given if isinstance(given, str) else "none")
    turn = Turn(talk, role, source_of(message, renamed))
    before = talk.ledger.met
    _reasoning(turn, message)
    content = content_of(message)
    if role == "tool" and not _holds_results(content):
        _tool_message(turn, message, content)
    else:
        read_content(turn, content)
        turn.flush()
        _calls(turn, message)
    _usage(turn, message)
    if talk.ledger.met == before:
        talk.ledger.met += 1
        if turn.first is None and turn.extra and set(turn.extra["source"]) - {"name"}:  # type: ignore[call-overload]
            turn.say("")
        elif turn.first is None:
            talk.ledger.leave_out("message", "is empty")
    keep_others(turn, message, content, outer)
    return turn.text_event


def _reasoning(turn: Turn, message: Mapping[str, object]) -> None:
    for name in REASONINGS:
        value = message.get(name)
        if isinstance(value, list):
            value = plain(value)
        if isinstance(value, str) and value:
            turn.talk.ledger.met += 1
            turn.say(value, "reasoning")
            return


def _holds_results(content: object) -> bool:
    return isinstance(content, list) and any(
        isinstance(part, dict) and is_result(part) for part in content
    )


def _tool_message(turn: Turn, message: Mapping[str, object], content: object) -> None:
    """Give a call the content of a message of role tool, or keep it as a message."""
    talk = turn.talk
    talk.ledger.met += 1
    parts = len(content) - 1 if isinstance(content, list) and content else 0
    talk.ledger.met += parts
    talk.ledger.kept += parts
    # Texts are joined, as in other messages; what is no text stays JSON.
    value = _texts_of(content)
    call_id = first(message, RESULT_IDS[:-1])
    name = word(message, "name", "tool_name")
    draft = turn.result = talk.result(
        None if call_id is None else str(call_id),
        value,
        name=name,
        failed=failed_flag(message),
    )
    if draft is None:
        draft = turn.say(value if isinstance(value, str) else as_text(value))
        keep(draft, {} if call_id is None else {"tool_call_id": call_id})
        return
    if name is not None and name != getattr(draft.payload, "tool", None):
        keep(draft, {"name": name})
    if isinstance(content, list) and isinstance(value, str):
        others = [p for p in content if isinstance(p, dict) and text_of(p) is None]
        keep_parts(draft, [*unread_parts(content), *others])
    left = dict(turn.extra["source"]) if turn.extra else {}  # type: ignore[call-overload]
    for known in ("name", "tool_name", "status", "success", "role", *RESULT_IDS):
        left.pop(known, None)
    if left:
        draft.extra = {**(draft.extra or {}), "result_source": left}
    turn.extra = None


def _texts_of(content: object) -> object:
    if content is None:
        return ""
    if not isinstance(content, list):
        return plain(content)
    texts = [text_of(p) if isinstance(p, dict) else None for p in content]
    if any(text is None for text in texts) and not any(texts):
        return plain(content)
    others = [p for p, text in zip(content, texts, strict=True) if text is None]
    if others and not all(isinstance(p, dict) and p.get("type") for p in others):
        return plain(content)
    # An image next to a text is reported by its label.
    return "\n".join(
        label(part) if text is None else text
        for part, text in zip(content, texts, strict=True)
    )


def _calls(turn: Turn, message: Mapping[str, object]) -> None:
    ledger = turn.talk.ledger
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        ledger.met += 1
        turn.say(refusal, "refusal")
    audio = message.get("audio")
    if isinstance(audio, dict):
        ledger.met += 1
        other_part(turn, {"type": "audio", **audio})
        turn.flush()
    calls = message.get("tool_calls")
    if not calls:
        kwargs = message.get("additional_kwargs")
        calls = kwargs.get("tool_calls") if isinstance(kwargs, dict) else None
    single = message.get("function_call")
    for call in [
        *(calls if isinstance(calls, list) else []),
        *([single] if single else []),
    ]:
        ledger.met += 1
        if isinstance(call, dict):
            read_call(turn, call)
        else:
            ledger.leave_out("tool call", "is no object")
    invocations = message.get("toolInvocations")
    if not message.get("parts"):
        for call in invocations if isinstance(invocations, list) else []:
            ledger.met += 1
            if isinstance(call, dict):
                read_invocation(turn, call, "tool")
            else:
                ledger.leave_out("tool call", "is no object")


def _usage(turn: Turn, message: Mapping[str, object]) -> None:
    """Set model and tokens on the message's text; a call alone gets an empty one."""
    if turn.role != "assistant":
        return
    model, tokens = model_of(message), usage_of(message)
    if model is None and tokens is None:
        return
    draft = turn.text_event
    if draft is None and tokens is not None and turn.first is not None:
        turn.talk.ledger.met += 1
        draft = turn.say("")
    if draft is not None:
        set_usage(draft, model, tokens)


def set_usage(draft: Draft, model: str | None, tokens: Tokens | None) -> None:
    """Set the model and the tokens of a message that has none yet."""
    answers = draft.payload
    assert isinstance(answers, Message)
    if answers.model is None and model is not None:
        answers.model = model[:NAME_CHARS_MAX]
    if (
        tokens is not None
        and answers.input_tokens is None
        and answers.output_tokens is None
    ):
        answers.input_tokens, answers.output_tokens = tokens.input, tokens.output
        answers.cached_tokens, answers.reasoning_tokens = (
            tokens.cached,
            tokens.reasoning,
        )
        draft.reported = tokens.reported
