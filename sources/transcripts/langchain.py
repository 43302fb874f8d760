"""Messages of LangChain: `type` instead of role, in `data` or `kwargs` or plain."""

from sources.transcripts.format import Container, Format
from sources.transcripts.openai_chat import chats_or_messages

_TYPES = frozenset(["human", "ai", "system", "tool", "function", "AIMessageChunk"])


def _is_message(value: object) -> bool:
    if not isinstance(value, dict) or "role" in value:
        return False
    if value.get("lc") == 1 and isinstance(value.get("kwargs"), dict):
        return True
    return value.get("type") in _TYPES and ("content" in value or "data" in value)


def _recognize(values: list[object], container: Container) -> str | None:
    value = values[0]
    if _is_message(value):
        return "its values are messages with a type"
    messages = value.get("messages") if isinstance(value, dict) else value
    if isinstance(messages, list) and messages and _is_message(messages[0]):
        return "its messages have a type instead of a role"
    return None


FORMAT = Format(
    "langchain",
    "messages of LangChain",
    _recognize,
    chats_or_messages(_is_message),
    like="chat",
    reads_chats=True,
)
