"""Converts decoded events to columns of the `events` table."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.arrow import DECODED_EVENTS
from semloop import tables
from semloop.event import (
    DEFAULT_CREDITS,
    DEFAULT_NAMESPACE,
    TEXT_CHARS_MAX,
    Envelope,
    Payload,
)
from semloop.texts.shortened import shortened
from semloop.texts.wordless import GATE, RUN_CHARS_MIN, without_data

# Names of the values of an `EventRow`: envelope, meta, then `PayloadColumns`.
ROW = (
    "event_id", "type", "ts", "agent", "payload", "session_id", "user_id", "namespace",
    "task", "task_type", "tags", "credits_used", "context_hash", "trace_id", "span_id",
    "parent_span_id", "importance", "agent_version", "prompt_id", "prompt_version",
    "run_id",
    "tool", "status", "outcome", "reward", "score", "label", "error_type",
    "duration_ms", "model", "input_tokens", "output_tokens", "cached_tokens",
    "reasoning_tokens", "role", "payload_task", "text",
)  # fmt: skip
# Columns whose null in an event means a value: {name: value}.
DEFAULTS = {"namespace": DEFAULT_NAMESPACE, "credits_used": DEFAULT_CREDITS}
# Bytes that end a line or a column of text, or that text cannot contain.
BREAKS = (b"\n", b"\r", b"\t", b"\0")
# Spaces that become one. A single space does not match, since to replace each of them
# by itself takes five times as long.
SPACES = r" *[\t\n\f\r\x00][\s\x00]*|  +"

EventRow = tuple[Any, ...]


def event_row(event: Envelope, payload: Payload) -> EventRow:
    """Return one event as a tuple in the order of `ROW`.

    It is built right after an event is decoded, so that the event's structs are freed
    while they are still in the processor's cache.
    """
    meta = event.meta
    return (
        event.id, event.type, event.timestamp, event.agent, bytes(event.payload),
        meta.session_id, meta.user_id, meta.namespace, meta.task, meta.task_type,
        meta.tags, meta.credits_used, meta.context_hash, meta.trace_id, meta.span_id,
        meta.parent_span_id, meta.importance, meta.agent_version, meta.prompt_id,
        meta.prompt_version, meta.run_id, *payload.columns(),
    )  # fmt: skip


def event_columns(
    records: pa.RecordBatch,
    rows: Sequence[EventRow],
    extras: Sequence[str | None] | None = None,
) -> pa.RecordBatch:
    """Return the events of a poll as `DECODED_EVENTS`.

    Args:
        records: the rows of the poll that became events, for their origin.
        rows: the events, from `event_row`.
        extras: JSON of each event's unknown fields; None if no event has any.
    """
    columns = dict(zip(ROW, zip(*rows, strict=True), strict=bool(rows)))
    # As bytes first: payloads are slices of a record that is valid UTF-8.
    built = {"payload": pa.array(columns.pop("payload", ()), pa.binary())}
    built["payload"] = built["payload"].cast(pa.string())
    built["extra"] = _array(extras or (None,) * len(rows), pa.string())
    built["artifacts"] = pa.nulls(len(rows), pa.string())
    built |= {name: records[name] for name in tables.ORIGIN}
    for field in DECODED_EVENTS:
        if field.name not in built:
            built[field.name] = _array(columns.get(field.name, ()), field.type)
    built |= {name: pc.fill_null(built[name], v) for name, v in DEFAULTS.items()}
    tasks = _array(columns.get("payload_task", ()), pa.string())
    if tasks.null_count < len(tasks):
        built["task"] = pc.coalesce(built["task"], tasks)
    built["text"] = _one_line(built["text"])
    arrays = [built[field.name] for field in DECODED_EVENTS]
    return pa.RecordBatch.from_arrays(arrays, schema=DECODED_EVENTS)


def _array(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    """Fast path: most optional fields are absent from all events of a poll."""
    if values.count(None) == len(values):
        return pa.nulls(len(values), kind)
    return pa.array(values, kind)


def _one_line(text: pa.StringArray) -> pa.StringArray:
    data = text.buffers()[2]
    if data is None:
        return text
    text = _without_data(text)
    content = text.buffers()[2].to_pybytes()
    if any(byte in content for byte in BREAKS):
        text = pc.replace_substring_regex(text, SPACES, " ")
    long = pc.greater(pc.binary_length(text), TEXT_CHARS_MAX)
    return _changed(text, pc.indices_nonzero(long), _within_bound)


def _without_data(text: pa.StringArray) -> pa.StringArray:
    rows = pc.indices_nonzero(pc.greater_equal(pc.binary_length(text), RUN_CHARS_MIN))
    if len(rows):
        rows = rows.filter(pc.match_substring_regex(text.take(rows), GATE))
    return _changed(text, rows, without_data)


def _within_bound(text: str) -> str:
    return shortened(text, TEXT_CHARS_MAX)


def _changed(
    text: pa.StringArray, rows: pa.Array, change: Callable[[str], str]
) -> pa.StringArray:
    """Return the texts, those of some rows changed."""
    if not len(rows):
        return text
    texts = text.to_pylist()
    for row in rows.to_pylist():
        texts[row] = change(texts[row])
    return pa.array(texts, pa.string())
