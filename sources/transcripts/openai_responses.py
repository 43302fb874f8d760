"""Responses of OpenAI's Responses API, with their input, and bare lists of items."""

from collections.abc import Iterable, Iterator
from itertools import chain

from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import documents
from sources.transcripts.format import Container, Format, Made, Value
from sources.transcripts.items import is_item, read_item
from sources.transcripts.ledger import Ledger
from sources.transcripts.messages import read_message
from sources.transcripts.openai_chat import last_answer_usage
from sources.transcripts.options import Options

AGENT = "responses"
_FIELDS = (
    "object", "output", "input", "instructions", "model", "usage", "items", "request",
    "response", "text", "tool_choice", "truncation", "reasoning", "data",
)  # fmt: skip


def _recognize(values: list[object], container: Container) -> str | None:
    value = values[0]
    if not isinstance(value, dict):
        return None
    inner = value.get("response")
    answer = inner if isinstance(inner, dict) else value
    if answer.get("object") == "response" and isinstance(answer.get("output"), list):
        return "each value is a response with output items"
    items = value.get("items")
    if isinstance(items, list) and any(map(_is_listed, items)):
        return "each value has a list of items"
    if any(is_item(v) for v in values) and "messages" not in value:
        return "its values are items of responses"
    return None


def _is_listed(value: object) -> bool:
    """Whether a value is an item, or a message as items write it."""
    is_message = isinstance(value, dict) and value.get("type") == "message"
    return is_message or is_item(value)


def _tell(talk: Conversation, document: dict[str, object]) -> Iterable[str]:
    request, inner = document.get("request"), document.get("response")
    answer = inner if isinstance(inner, dict) else document
    asked = request if isinstance(request, dict) else answer
    instructions = asked.get("instructions")
    if isinstance(instructions, (str, list)) and instructions:
        read_message(talk, {"role": "system", "content": instructions})
    for name, source in (("input", asked), ("items", document), ("output", answer)):
        items = source.get(name)
        for item in items if isinstance(items, list) else [items]:
            if isinstance(item, dict):
                read_item(talk, item)
            elif item is not None:
                read_message(talk, item)
    last_answer_usage(talk, answer)
    return _FIELDS


_read_documents = documents(_tell, AGENT)


def _read(values: Iterable[Value], options: Options, ledger: Ledger) -> Iterator[Made]:
    """Read responses; values that are items themselves are one session together."""
    iterator = iter(values)
    found = next(iterator, None)
    if found is None:
        return
    alone = isinstance(found.json, dict) and not any(
        name in found.json for name in ("output", "items", "response")
    )
    if is_item(found.json) or alone:
        items = [found.json, *(value.json for value in iterator)]
        found, iterator = Value(found.number, found.raw, {"items": items}), iter(())
    yield from _read_documents(chain([found], iterator), options, ledger)


FORMAT = Format("responses", "OpenAI responses", _recognize, _read)
