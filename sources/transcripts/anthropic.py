"""Requests and answers of Anthropic's Messages API."""

from collections.abc import Iterable

from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import documents
from sources.transcripts.format import Container, Format
from sources.transcripts.messages import read_message
from sources.transcripts.openai_chat import tell_chat

AGENT = "chat"
_BLOCKS = frozenset(["tool_use", "tool_result", "thinking", "redacted_thinking"])


def _recognize(values: list[object], container: Container) -> str | None:
    value = values[0]
    if not isinstance(value, dict):
        return None
    answer = value.get("response")
    answer = answer if isinstance(answer, dict) else value
    if answer.get("type") == "message" and isinstance(answer.get("content"), list):
        return "each value is a message of type message with content blocks"
    messages = value.get("messages")
    for message in messages if isinstance(messages, list) else []:
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else []:
            # With `agent` it is a chat in our own envelope, with any parts.
            if isinstance(block, dict) and block.get("type") in _BLOCKS:
                return None if "agent" in value else "its messages have content blocks"
    return None


def _tell(talk: Conversation, document: dict[str, object]) -> Iterable[str]:
    if document.get("type") != "message":
        return tell_chat(talk, document)
    read_message(talk, {n: v for n, v in document.items() if n != "type"})
    # What is no part of the message is kept in its payload.
    return tuple(document)


FORMAT = Format(
    "anthropic",
    "Anthropic messages",
    _recognize,
    documents(_tell, AGENT),
    like="chat",
    reads_chats=True,
)
