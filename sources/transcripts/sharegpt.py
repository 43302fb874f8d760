"""Conversations in ShareGPT's form: `conversations` with `from` and `value`."""

from collections.abc import Iterable

import msgspec

from sources.transcripts.conversation import Conversation
from sources.transcripts.documents import documents
from sources.transcripts.format import Container, Format
from sources.transcripts.messages import read_message
from sources.transcripts.parts import first
from sources.transcripts.unread import keep, taken, unread

AGENT = "chat"
_ARGUMENTS = ("arguments", "parameters")
_LISTS = ("conversations", "conversation", "items")


def _turns(value: object) -> list[object] | None:
    found = first(value, _LISTS) if isinstance(value, dict) else None
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return found if "from" in found[0] and "value" in found[0] else None
    return None


def _recognize(values: list[object], container: Container) -> str | None:
    if _turns(values[0]) is not None:
        return "each value has conversations of from and value"
    return None


def _tell(talk: Conversation, document: dict[str, object]) -> Iterable[str]:
    system = document.get("system")
    if isinstance(system, str) and system:
        read_message(talk, {"role": "system", "content": system})
    turns = _turns(document)
    if turns is None:
        talk.ledger.met += 1
        talk.ledger.leave_out("transcript", "has no conversations")
    for turn in turns or []:
        if isinstance(turn, dict) and turn.get("from") == "function_call":
            _call(talk, turn)
        else:
            read_message(talk, turn)
    known = ("system",) if isinstance(system, str) else ()
    return (taken(document, _LISTS), *known)


def _call(talk: Conversation, turn: dict[str, object]) -> None:
    """Read a call that is written as text: a JSON object with its name."""
    talk.at_unit(None)
    talk.ledger.met += 1
    text = turn.get("value")
    try:
        call = msgspec.json.decode(text) if isinstance(text, str) else text
    except ValueError:
        call = None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        call = {"name": "function", "arguments": text}
    draft = talk.call(call["name"], first(call, _ARGUMENTS), None)
    keep(draft, unread(call, ["name", taken(call, _ARGUMENTS)]))
    keep(draft, unread(turn, ["from", "value"]))


FORMAT = Format(
    "sharegpt", "conversations of ShareGPT", _recognize, documents(_tell, AGENT)
)
