"""One message of a conversation, in the words of any chat API, as events.

OpenAI's, Anthropic's, LangChain's, Gemini's and the AI SDK's messages differ in names
only: a role, a content that is a text or parts, calls and results. Fields that have no
place in an event stay in its payload, under `source`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from semloop.event import NAME_CHARS_MAX, Message
from sources.transcripts.conversation import Conversation
from sources.transcripts.drafts import Draft
from sources.transcripts.parts import (
    RESULT_IDS,
    call_of,
    failed_flag,
    first,
    is_result,
    label,
    plain,
    text_of,
    without_data,
    word,
)
from sources.transcripts.roles import role_of
from sources.transcripts.times import NAMES, time_in
from sources.transcripts.turns import (
    Turn,
    as_text,
    other_part,
    read_content,
    read_invocation,
)
from sources.transcripts.usage import Tokens, model_of, usage_of

# Fields that are read, or that say nothing that is not known already.
_READ = frozenset([
    "role", "content", "parts", "type", "tool_calls", "function_call", "refusal",
    "reasoning_content", "reasoning", "audio", "usage", "usage_metadata", "model",
    "tool_call_id", "toolInvocations", "stop_reason", "stop_sequence", "finish_reason",
    "id", "object", "is_error", "isError", "from", "value", "author",
    "toolCallId", "thinking", "token_usage", *NAMES,
])  # fmt: skip
_SPEAKERS = ("role", "from", "speaker", "author", "type")
_CONTENTS = ("content", "parts", "value", "text")


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
    message = _unwrapped(message)
    own = time_in(message)
    if own is not None or at is not None:
        talk.at_unit(own or at, talk.place)
    else:
        talk.at_unit(None, talk.place)
    role, renamed = role_of(first(message, _SPEAKERS))
    turn = Turn(talk, role, _source(message, renamed))
    before = talk.ledger.met
    _reasoning(turn, message)
    content = first(message, _CONTENTS)
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
    return turn.text_event


def _unwrapped(message: dict[str, object]) -> dict[str, object]:
    """Return the message inside the object that some tools wrap it in."""
    # LangChain: {"type": "human", "data": {}}, and {"lc": 1, "id": [], "kwargs": {}}.
    data = message.get("data")
    if isinstance(data, dict) and "content" in data:
        return {"type": message.get("type"), **data}
    kwargs = message.get("kwargs")
    if isinstance(kwargs, dict) and "lc" in message:
        name = message.get("id")
        kind = name[-1] if isinstance(name, list) and name else None
        return {**kwargs, "type": kwargs.get("type") or kind}
    # ChatGPT and exports of it: {"author": {"role": "user"}}.
    if isinstance(author := message.get("author"), dict) and "role" not in message:
        return {**message, "role": author.get("role")}
    return message


def _source(message: Mapping[str, object], renamed: bool) -> dict[str, object] | None:
    """Return the fields that have no place in an event, for its payload."""
    left = {
        name: value
        for name, value in message.items()
        if name not in _READ and value not in (None, "", [], {}, False)
    }
    if renamed and (role := first(message, _SPEAKERS)) is not None:
        left["role"] = role
    return {"source": without_data(left).value} if left else None


def _reasoning(turn: Turn, message: Mapping[str, object]) -> None:
    for name in ("reasoning_content", "reasoning", "thinking"):
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
    draft = talk.result(
        None if call_id is None else str(call_id),
        value,
        name=name,
        failed=failed_flag(message),
    )
    if draft is None:
        turn.say(value if isinstance(value, str) else as_text(value))
        return
    left = dict(turn.extra["source"]) if turn.extra else {}  # type: ignore[call-overload]
    for known in ("name", "tool_name", "status", "success", "role", *RESULT_IDS):
        left.pop(known, None)
    if left:
        draft.extra = {**(draft.extra or {}), "result_source": left}


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
    ledger, talk = turn.talk.ledger, turn.talk
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
            tool, arguments, call_id = call_of(call)
            turn.add(talk.call(tool, without_data(arguments).value, call_id))
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
        draft.told = tokens.told
