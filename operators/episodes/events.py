"""Reads rows of `events` as the values that episodes aggregate.

Feedback is excluded: it never opens or extends an episode; the view `episodes` adds it.
So is the start of a tool call, which is a step when it ends.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

# Rows that are converted to Python values at a time.
ROWS = 5_000
TIMES = ("ts", "kafka_ts", "ingested_at")
# Types of events from whose payload values are read.
PAYLOAD_OF = pa.array(["completion", "state_change"])
# Types of events that are in no episode.
OUTSIDE = pa.array(["feedback", "tool_start"])
# Types of events that become memories, with the text before them as context.
MEMORABLE = frozenset({"message", "tool_call", "error"})
# A text over `TEXT_ENDS_CHARS` is reduced to both of its ends: the beginning shows its
# subject, the end what the next text answers.
TEXT_ENDS_CHARS = 500
END_CHARS = 250
LEFT_OUT = " … "


class Event(NamedTuple):
    """One event; times in microseconds of UTC, `bytes` of payload and text.

    `payload` is the JSON of a completion or a change of state, else None. `text` is
    reduced by `both_ends`.
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
    ingested_at: int
    bytes: int

    @property
    def received_at(self) -> int:
        """Kafka's timestamp, or the time of arrival if the record has none."""
        return self.ingested_at if self.kafka_ts is None else self.kafka_ts


class Detail(msgspec.Struct, gc=False):
    """Values that are only in the payload of a completion or a change of state."""

    summary: str | None = None
    to_state: str | None = None


_decode = msgspec.json.Decoder(Detail).decode


def read(events: pa.Table) -> Iterator[Event]:
    """Yield the events of a table, in its order, that may be in an episode."""
    rows = events.filter(pc.invert(pc.is_in(events["type"], OUTSIDE)))
    for batch in rows.to_batches(max_chunksize=ROWS):
        columns = [_values(_column(batch, name)) for name in Event._fields]
        yield from map(Event._make, zip(*columns, strict=True))


def detail(event: Event) -> Detail:
    """Return the values in the payload of an event; none if it is not valid.

    A row with an invalid payload was not written by `archive`. It must not stop the
    flow at every start.
    """
    try:
        return _decode(event.payload or "{}")
    except msgspec.DecodeError:
        return Detail()


def both_ends(texts: pa.Array) -> pa.Array:
    """Reduce each long text to its first and last 250 characters.

    Args:
        texts: strings or nulls.
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
        is_needed = pc.is_in(batch["type"], PAYLOAD_OF)
        return pc.if_else(is_needed, batch["payload"], pa.scalar(None, pa.string()))
    if name == "bytes":
        sizes = [pc.binary_length(batch[part]) for part in ("payload", "text")]
        return pc.add(*(pc.fill_null(size, 0) for size in sizes))
    if name == "text":
        return both_ends(batch["text"])
    return batch[name]


def _values(column: pa.Array) -> list[Any]:
    """Fast path: most optional columns are null in all rows."""
    if column.null_count == len(column):
        return [None] * len(column)
    values: list[Any] = column.to_pylist()
    return values
