"""Messages of LangChain: `type` instead of role, in `data` or `kwargs` or plain."""

from collections.abc import Iterable, Iterator
from itertools import chain

from sources.transcripts.documents import documents
from sources.transcripts.format import Container, Format, Made, Value
from sources.transcripts.ledger import Ledger
from sources.transcripts.openai_chat import tell_chat
from sources.transcripts.options import Options

AGENT = "chat"
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


_read_documents = documents(tell_chat, AGENT)


def _read(values: Iterable[Value], options: Options, ledger: Ledger) -> Iterator[Made]:
    """Read chats; values that are messages themselves are one chat together."""
    iterator = iter(values)
    found = next(iterator, None)
    if found is None:
        return
    if _is_message(found.json):
        messages = [found.json, *(value.json for value in iterator)]
        chat = {"messages": messages}
        found, iterator = Value(found.number, found.raw, chat), iter(())
    yield from _read_documents(chain([found], iterator), options, ledger)


FORMAT = Format("langchain", "messages of LangChain", _recognize, _read, like="chat")
