"""Chats in OpenAI's form: messages with roles, calls and results.

Our own envelope of a chat (id, agent, created_at, messages, reward), bare lists of
messages, and logged requests and responses of the Chat Completions API.
"""

from collections.abc import Callable, Iterable, Mapping

from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import leave_out_fields
from sources.transcripts.format import Container, Format, Reader
from sources.transcripts.ledger import Ledger
from sources.transcripts.message_lines import Lines, documents_or_lines
from sources.transcripts.messages import read_message, set_usage
from sources.transcripts.parts import first
from sources.transcripts.unread import leave_out, taken, unread
from sources.transcripts.usage import model_of, usage_of

AGENT = "chat"
_LISTS = ("messages", "conversation", "history", "chat", "turns", "dialog", "dialogue")
_SYSTEMS = ("system", "instructions", "system_prompt")
# Objects of a logged exchange.
_NESTED = ("request", "response", "completion", "output", "choices")
_USED = ("usage", "model")


def _recognize(values: list[object], container: Container) -> str | None:
    value = values[0]
    if isinstance(value, list) and value and _is_message(value[0]):
        return "each value is a list of messages"
    if not isinstance(value, dict):
        return None
    if isinstance(_messages(value), list):
        return "each value has a list of messages"
    if isinstance(value.get("choices"), list):
        return "each value is a chat completion"
    if _is_message(value):
        return "its values are messages with roles"
    return None


def _is_message(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("role"), str)
        and any(name in value for name in ("content", "parts", "tool_calls"))
    )


def _messages(chat: dict[str, object]) -> object:
    found = first(chat, _LISTS)
    if found is None and isinstance(request := chat.get("request"), dict):
        found = first(request, _LISTS)
    return found


def tell_chat(talk: Conversation, chat: dict[str, object]) -> Iterable[str]:
    """Tell a conversation all messages of a chat, its prompt and its answer."""
    request = chat.get("request")
    asked = request if isinstance(request, dict) else chat
    system = first(asked, _SYSTEMS)
    if isinstance(system, (str, list)) and system:
        read_message(talk, {"role": "system", "content": system})
    messages = _messages(chat)
    for message in messages if isinstance(messages, list) else []:
        read_message(talk, message)
    for answer in _answers(chat):
        talk.at_unit(None)
        read_message(talk, answer)
    if messages is None and not _answers(chat):
        talk.ledger.met += 1
        talk.ledger.leave_out("transcript", "has no messages")
    elif messages is not None and not isinstance(messages, list):
        talk.ledger.met += 1
        talk.ledger.leave_out("transcript", "its messages are no list")
    _answer_usage(talk, chat)
    _leave_out(talk.ledger, chat)
    known = {taken(asked, _SYSTEMS)} if asked is chat else set()
    return (*known, taken(chat, _LISTS), *_NESTED, *_USED)


def _leave_out(ledger: Ledger, chat: Mapping[str, object]) -> None:
    """Count what the request, the response and its choices hold next to messages."""
    response = first(chat, ("response", "completion", "output"))
    answer = response if isinstance(response, dict) else chat
    request = chat.get("request")
    if isinstance(request, dict):
        known = {taken(request, _LISTS), taken(request, _SYSTEMS)}
        if request.get("model") == answer.get("model"):
            known.add("model")
        leave_out_fields(ledger, request, known, "request")
    if answer is not chat and not _is_message(answer):
        leave_out_fields(ledger, answer, ("choices", *_USED), "response")
    elif response is not None and answer is chat:
        leave_out(ledger, {taken(chat, _NESTED[1:4]): response}, "transcript")
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict):
            leave_out(
                ledger, unread(choice, ["message", "text", "finish_reason"]), "choice"
            )


def _answers(chat: dict[str, object]) -> list[object]:
    response = first(chat, ("response", "completion", "output"))
    answer = response if isinstance(response, dict) else chat
    choices = answer.get("choices")
    if isinstance(choices, list):
        return [message for c in choices if (message := _of_choice(c)) is not None]
    return [answer] if answer is not chat and _is_message(answer) else []


def _of_choice(choice: object) -> object:
    """Return the message of a choice; older APIs have a text."""
    if not isinstance(choice, dict):
        return choice
    message = choice.get("message")
    if message is None and isinstance(choice.get("text"), str):
        message = {"role": "assistant", "content": choice["text"]}
    reason = choice.get("finish_reason")
    if isinstance(message, dict) and isinstance(reason, str):
        return {**message, "finish_reason": reason}
    return message


def _answer_usage(talk: Conversation, chat: dict[str, object]) -> None:
    """Set the model and the tokens that a chat tells next to its messages."""
    response = chat.get("response")
    inner = response if isinstance(response, dict) else chat
    last_answer_usage(talk, {**chat, **inner})


def last_answer_usage(talk: Conversation, fields: Mapping[str, object]) -> None:
    """Give the last answer the tokens of all, and each answer the model."""
    model, tokens = model_of(fields), usage_of(fields)
    if model is None and tokens is None:
        return
    answers = [
        d for d in talk.drafts
        if d.kind == "message" and getattr(d.payload, "role", None) == "assistant"
    ]  # fmt: skip
    for draft in answers:
        set_usage(draft, model, None)
    if not answers and tokens is not None:
        talk.ledger.met += 1
        answers = [talk.say("assistant", "")]
        set_usage(answers[0], model, None)
    # One answer has them, so that their sum over events is right.
    if answers and tokens is not None:
        set_usage(answers[-1], None, tokens)


def is_chat(value: object) -> bool:
    """Whether a value is a whole chat rather than one of its messages."""
    if not isinstance(value, dict):
        return isinstance(value, list)
    return isinstance(_messages(value), list) or any(
        isinstance(value.get(name), (list, dict)) for name in ("choices", "response")
    )


def chats_or_messages(opens: Callable[[object], bool]) -> Reader:
    """Return a reader of chats, and of messages that stand alone.

    Args:
        opens: whether a value is such a message.
    """
    return documents_or_lines(
        tell_chat, Lines(opens, is_chat, lambda: _tell_message), AGENT
    )


def _tell_message(talk: Conversation, message: object) -> None:
    read_message(talk, message)


FORMAT = Format(
    "chat",
    "chats in OpenAI's form",
    _recognize,
    chats_or_messages(_is_message),
)
