"""Responses of OpenAI's Responses API, with their input, and bare lists of items."""

from collections.abc import Iterable

from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import leave_out_fields
from sources.transcripts.format import Container, Format
from sources.transcripts.items import is_item, read_item
from sources.transcripts.message_lines import Lines, documents_or_lines
from sources.transcripts.messages import read_message
from sources.transcripts.openai_chat import last_answer_usage

AGENT = "responses"
_FIELDS = (
    "output",
    "input",
    "instructions",
    "model",
    "usage",
    "items",
    "request",
    "response",
)


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
            if item is not None:
                _tell_item(talk, item)
    last_answer_usage(talk, answer)
    for kind, fields in (("request", request), ("response", inner)):
        if isinstance(fields, dict):
            leave_out_fields(talk.ledger, fields, _FIELDS, kind)
    return _FIELDS


def _is_response(value: object) -> bool:
    return isinstance(value, dict) and any(
        name in value for name in ("output", "items", "response")
    )


def _opens(value: object) -> bool:
    is_message = isinstance(value, dict) and ("role" in value or "type" in value)
    return is_item(value) or (is_message and not _is_response(value))


def _is_document(value: object) -> bool:
    return _is_response(value) and not is_item(value)


def _tell_item(talk: Conversation, item: object) -> None:
    if isinstance(item, dict):
        read_item(talk, item)
    else:
        read_message(talk, item)


_LINES = Lines(_opens, _is_document, lambda: _tell_item)
FORMAT = Format(
    "responses",
    "OpenAI responses",
    _recognize,
    documents_or_lines(_tell, _LINES, AGENT),
    reads_chats=True,
)
