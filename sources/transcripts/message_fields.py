"""The fields of a message: which are read, and where the others are kept."""

from collections.abc import Mapping

from semloop.texts.times import NAMES
from sources.transcripts.parts import first, text_of, without_data
from sources.transcripts.turns import Turn
from sources.transcripts.unread import (
    keep,
    keep_parts,
    leave_out,
    taken,
    unread,
    unread_parts,
)

# Fields that are read, or that say nothing that is not known already.
READ = frozenset([
    "role", "content", "parts", "type", "tool_calls", "function_call", "refusal",
    "reasoning_content", "reasoning", "audio", "usage", "usage_metadata", "model",
    "tool_call_id", "toolInvocations", "stop_reason", "stop_sequence", "finish_reason",
    "id", "object", "is_error", "isError", "from", "value", "author",
    "toolCallId", "thinking", "token_usage", *NAMES,
])  # fmt: skip
# Of these, what no event has yet is kept: an answer may have several.
SOMETIMES = frozenset([
    "content", "value", "stop_reason", "stop_sequence", "finish_reason", "reasoning",
    "reasoning_content", "thinking", "refusal", "audio",
])  # fmt: skip
# The types of these of which there is an event.
_REPORTED: dict[str, type] = {"refusal": str, "audio": dict}
REASONINGS = ("reasoning_content", "reasoning", "thinking")
SPEAKERS = ("role", "from", "speaker", "author", "type")
CONTENTS = ("content", "parts", "value", "text")


def unwrapped(message: dict[str, object]) -> dict[str, object]:
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


def source_of(message: Mapping[str, object], renamed: bool) -> dict[str, object] | None:
    """Return the fields that have no place in an event, for its payload."""
    left = {
        name: value
        for name, value in message.items()
        if name not in READ and value not in (None, "", [], {}, False)
    }
    if renamed and (role := first(message, SPEAKERS)) is not None:
        left["role"] = role
    return {"source": without_data(left).value} if left else None


def content_of(message: Mapping[str, object]) -> object:
    """Return the content: of a text and its parts, the parts, with the text if new."""
    content, parts = first(message, CONTENTS), message.get("parts")
    if content is parts or not (isinstance(content, str) and isinstance(parts, list)):
        return content
    if not content:
        return parts
    known = [text_of(part) or "" for part in parts if isinstance(part, dict)]
    return parts if content in ("\n".join(known), "".join(known)) else [content, *parts]


def keep_others(
    turn: Turn,
    message: Mapping[str, object],
    content: object,
    outer: Mapping[str, object],
) -> None:
    """Keep what the events of a message do not have, also if they are earlier ones.

    Args:
        turn: has its events.
        message: is read.
        content: of it.
        outer: the object that it was in, or itself.
    """
    given = taken(message, CONTENTS)
    thought = next((n for n in REASONINGS if isinstance(message.get(n), (str, list))
                    and message[n]), "")  # fmt: skip
    rest: dict[str, object] = {
        name: value
        for name, value in unread(message, {given, thought, "parts"}).items()
        if name in SOMETIMES
        and isinstance(value, (str, list, dict))
        and not isinstance(value, _REPORTED.get(name, ()))
    }
    if "data" in outer and "data" not in message:
        rest |= unread(outer, ["data"])
    elif "kwargs" in outer and "kwargs" not in message:
        rest |= unread(outer, ["kwargs", "lc"])
    if not isinstance(message.get("parts"), list):
        rest |= {"parts": p} if given != "parts" and (p := message.get("parts")) else {}
    if isinstance(author := message.get("author"), dict):
        rest |= unread(author, ["role"])
    if turn.first is None and turn.extra:
        # Results that belong to calls of earlier messages.
        own = turn.extra["source"]
        rest |= own if isinstance(own, dict) else {}
    draft = turn.first or turn.result
    if draft is not None:
        keep(draft, rest)
        if isinstance(content, dict) and text_of(content) is not None:
            keep_parts(draft, unread_parts(content))
    else:
        leave_out(turn.talk.ledger, rest, "message without an event")
