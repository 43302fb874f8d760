"""Rows of `events` -> what an episode takes of them.

Feedback is left out: it never opens or extends an episode, the view `episodes` adds it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

# So many rows are Python values at a time.
ROWS = 5_000
TIMES = ("ts", "kafka_ts")
# Of other types nothing is needed that is only in the payload.
PAYLOAD_OF = pa.array(["completion", "state_change"])
# What may be remembered by itself, with the text told before it as its context.
TOLD = frozenset({"message", "tool_call", "error"})
# A text beyond `TEXT_ENDS_CHARS` is kept as both of its ends: how it begins says what
# it is about, how it ends what the next one answers.
TEXT_ENDS_CHARS = 500
END_CHARS = 250
LEFT_OUT = " … "


class Event(NamedTuple):
    """One event; times in microseconds of UTC, `bytes` those of payload and text.

    `payload` is the JSON of a completion or a change of state, else None. `text` is
    what `both_ends` keeps of it.
    """

    kafka_offset: int
    kafka_ts: int | None
    session_id: str
    type: str
    ts: int
    agent: str | None
    namespace: str | None
    user_id: str | None
    task: str | None
    task_type: str | None
    tags: list[str] | None
    role: str | None
    text: str | None
    tool: str | None
    status: str | None
    error_type: str | None
    outcome: str | None
    reward: float | None
    credits_used: float | None
    input_tokens: int | None
    output_tokens: int | None
    payload: str | None
    bytes: int


class Detail(msgspec.Struct, gc=False):
    """What is only in the payload of a completion or of a change of state."""

    summary: str | None = None
    to_state: str | None = None


_decode = msgspec.json.Decoder(Detail).decode


def read(events: pa.Table) -> Iterator[Event]:
    """The events of a table, in its order, without feedback."""
    work = events.filter(pc.not_equal(events["type"], "feedback"))
    for batch in work.to_batches(max_chunksize=ROWS):
        columns = [_values(_column(batch, name)) for name in Event._fields]
        yield from map(Event._make, zip(*columns, strict=True))


def detail(event: Event) -> Detail:
    """The payload's part of an event; nothing if it is not what its type promises.

    Such a row was not decoded by `archive`, and must not end the flow again and again.
    """
    try:
        return _decode(event.payload or "{}")
    except msgspec.DecodeError:
        return Detail()


def both_ends(texts: pa.Array) -> pa.Array:
    """Texts of bounded length: of long ones the first and last 250 characters.

    Args:
        texts: strings, nulls among them.
    """
    if (pc.max(pc.binary_length(texts)).as_py() or 0) <= TEXT_ENDS_CHARS:
        return texts
    first = pc.utf8_slice_codeunits(texts, 0, END_CHARS)
    last = pc.utf8_slice_codeunits(texts, -END_CHARS, None)
    ends = pc.binary_join_element_wise(first, last, LEFT_OUT)
    long = pc.greater(pc.utf8_length(texts), TEXT_ENDS_CHARS)
    return pc.if_else(long, ends, texts)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    if name in TIMES:
        return batch[name].cast(pa.int64())
    if name == "payload":
        wanted = pc.is_in(batch["type"], PAYLOAD_OF)
        return pc.if_else(wanted, batch["payload"], pa.scalar(None, pa.string()))
    if name == "bytes":
        sizes = [pc.binary_length(batch[part]) for part in ("payload", "text")]
        return pc.add(*(pc.fill_null(size, 0) for size in sizes))
    if name == "text":
        return both_ends(batch["text"])
    return batch[name]


def _values(column: pa.Array) -> list[Any]:
    """Most optional columns are empty throughout, which is quick to see."""
    if column.null_count == len(column):
        return [None] * len(column)
    values: list[Any] = column.to_pylist()
    return values
