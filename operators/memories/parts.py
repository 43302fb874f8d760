"""The whole texts of events, and the parts of them that become memories.

The column `text` has one shortened line. An event whose payload may say more is read
again from there.
"""

from collections.abc import Mapping, Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from operators.memories.splitter import TOKENS_MAX, parts_of, token_count
from semloop.event import TEXT_CHARS_MAX, Error, Message, ToolCall, decode_payload
from semloop.lake.recall.words import terms_in
from semloop.texts.event_text import plain_line
from semloop.texts.shortened import reports_error, shortened

# A payload of fewer bytes has a text that is not shortened.
WHOLE_BYTES = TEXT_CHARS_MAX
STACK = '"stack"'
# Shares of the parts of an event that has too many; the rest are its last ones.
FIRST_SHARE, ERRORS_SHARE = 1 / 3, 1 / 6


def full_texts(events: pa.Table, chars: int) -> Mapping[int, Sequence[str]]:
    """Return the texts of the events that say more than their column `text`.

    Args:
        events: messages, tool calls and errors, with `type` and `payload`.
        chars: maximum characters of an event.

    Returns:
        by row: the text, and the stack of an error.
    """
    payloads = events["payload"].combine_chunks()
    is_long = pc.greater(pc.binary_length(payloads), WHOLE_BYTES)
    has_stack = pc.and_(
        pc.equal(events["type"].combine_chunks(), "error"),
        pc.match_substring(payloads, STACK),
    )
    rows = pc.indices_nonzero(pc.or_(is_long, has_stack)).to_pylist()
    kinds = events["type"]
    found = {
        row: _texts(kinds[row].as_py(), payloads[row].as_py(), chars) for row in rows
    }
    return {row: texts for row, texts in found.items() if texts}


def event_parts(texts: Sequence[str], speaker: str | None, count: int) -> list[str]:
    """Split texts into different parts that a model embeds without truncation.

    Args:
        texts: the texts of an event.
        speaker: name before each part.
        count: maximum of parts; of more, the first, the last, and those between them
            that report errors are kept.
    """
    tokens = TOKENS_MAX - (token_count(f"{speaker}:") if speaker else 0)
    # Equal parts are one: a log repeats itself.
    parts = list(dict.fromkeys(p for text in texts for p in parts_of(text, tokens)))
    if len(parts) > 1:
        # Lines of signs, and what is left of data.
        parts = [part for part in parts if any(terms_in(part))] or parts[:1]
    if len(parts) <= count:
        return parts
    first = max(int(count * FIRST_SHARE), 1)
    last = count - first
    middle = parts[first:-last]
    errors = list(filter(reports_error, middle))[: int(count * ERRORS_SHARE)]
    return [*parts[:first], *errors, *parts[len(errors) - last :]]


def _texts(kind: str, payload: str, chars: int) -> Sequence[str]:
    """Return the texts of a payload; none if it is not valid.

    A row with an invalid payload was not written by `archive`. It must not stop the
    flow at every start.
    """
    try:
        event = decode_payload[kind](msgspec.Raw(payload.encode()))
    except (msgspec.DecodeError, KeyError):
        return ()
    if isinstance(event, Error):
        stack = shortened(plain_line(event.stack or ""), chars)
        return plain_line(event.text(chars)), *filter(str.strip, [stack])
    assert isinstance(event, Message | ToolCall), kind
    return (plain_line(event.text(chars)),)
