"""Chats of the AI SDK: messages with `parts`, calls and results in one part."""

from sources.transcripts.format import Container, Format
from sources.transcripts.openai_chat import chats_or_messages


def _has_parts(value: object) -> bool:
    if not isinstance(value, dict) or "role" not in value:
        return False
    parts = value.get("parts")
    return isinstance(parts, list) and (
        not parts or (isinstance(parts[0], dict) and "type" in parts[0])
    )


def _recognize(values: list[object], container: Container) -> str | None:
    value = values[0]
    if _has_parts(value):
        return "its values are messages with parts"
    messages = value.get("messages") if isinstance(value, dict) else value
    own = isinstance(value, dict) and "agent" in value
    if isinstance(messages, list) and any(_has_parts(m) for m in messages) and not own:
        return "its messages have parts"
    return None


FORMAT = Format(
    "ai-sdk",
    "chats of the AI SDK",
    _recognize,
    chats_or_messages(_has_parts),
    like="chat",
    reads_chats=True,
)
