"""Decoded events -> the columns of the `events` table."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas.arrow import DECODED_EVENTS
from semloop import tables
from semloop.event import TEXT_CHARS_MAX, Envelope, Payload

ENVELOPE = (
    "event_id", "type", "ts", "agent", "payload", "session_id", "user_id", "namespace",
    "task", "task_type", "tags", "credits_used", "context_hash", "trace_id", "span_id",
    "parent_span_id", "importance",
)  # fmt: skip
PAYLOAD = (
    "tool", "status", "outcome", "reward", "score", "label", "error_type",
    "duration_ms", "model", "input_tokens", "output_tokens", "role", "payload_task",
    "text",
)  # fmt: skip
# What would break one line, or text itself.
BREAKS = (b"\n", b"\r", b"\t", b"\0")


def event_columns(
    records: pa.RecordBatch,
    envelopes: Sequence[Envelope],
    payloads: Sequence[Payload],
    extras: Sequence[str | None] | None,
) -> pa.RecordBatch:
    """The events of a poll as `DECODED_EVENTS`.

    Args:
        records: the rows of the poll that became events, for their origin.
        envelopes: the events, row by row.
        payloads: their payloads.
        extras: JSON of the fields that the envelope does not know; None for none.
    """
    # A tuple per event and one transposition cost half of a comprehension per column.
    rows = [
        (
            e.id, e.type, e.timestamp, e.agent, bytes(e.payload), m.session_id,
            m.user_id, m.namespace, m.task, m.task_type, m.tags, m.credits_used,
            m.context_hash, m.trace_id, m.span_id, m.parent_span_id, m.importance,
        )
        for e in envelopes
        for m in (e.meta,)
    ]  # fmt: skip
    columns = dict(zip(ENVELOPE, zip(*rows, strict=True), strict=False))
    details = zip(*[payload.columns() for payload in payloads], strict=True)
    columns |= dict(zip(PAYLOAD, details, strict=False))
    # As bytes first: payloads are slices of the record, known to be UTF-8.
    made = {"payload": pa.array(columns.pop("payload", ()), pa.binary())}
    made["payload"] = made["payload"].cast(pa.string())
    made["extra"] = pa.array(extras or [None] * len(rows), pa.string())
    made |= {name: records[name] for name in tables.ORIGIN}
    for field in DECODED_EVENTS:
        if field.name not in made:
            made[field.name] = pa.array(columns.get(field.name, ()), field.type)
    tasks = pa.array(columns.get("payload_task", ()), pa.string())
    if tasks.null_count < len(tasks):
        made["task"] = pc.coalesce(made["task"], tasks)
    made["text"] = _one_line(made["text"])
    arrays = [made[field.name] for field in DECODED_EVENTS]
    return pa.RecordBatch.from_arrays(arrays, schema=DECODED_EVENTS)


def _one_line(text: pa.StringArray) -> pa.StringArray:
    data = text.buffers()[2]
    if data is None:
        return text
    letters = data.to_pybytes()
    if any(letter in letters for letter in BREAKS):
        text = pc.replace_substring_regex(text, r"[\s\x00]+", " ")
    if (pc.max(pc.binary_length(text)).as_py() or 0) > TEXT_CHARS_MAX:
        text = pc.utf8_slice_codeunits(text, 0, TEXT_CHARS_MAX)
    return text
