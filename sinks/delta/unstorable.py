"""Rows that a table refuses: cut in halves down to the row that is to blame."""

from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from schemas.arrow import DEAD_LETTERS
from schemas.dead_letter import Reason
from semloop import tables
from semloop.delta.streams import Partition

META = (
    "session_id", "namespace", "credits_used", "context_hash", "user_id", "task",
    "task_type", "tags", "trace_id", "span_id", "parent_span_id", "importance",
)  # fmt: skip


def halves(rows: pa.Table) -> tuple[pa.Table, pa.Table, dict[Partition, int]]:
    """Cut two rows or more by offset.

    Returns:
        the first part, all of one partition up to an offset; the rest; and
        {partition: that offset}, to which the first part alone brings the table.
    """
    partitions = rows["kafka_partition"].to_numpy()
    offsets = rows["kafka_offset"].to_numpy()
    partition = partitions[0]
    own = np.sort(offsets[partitions == partition])
    # With a single row here, that row is the first part and other partitions the rest.
    cut = own[(len(own) - 1) // 2]
    first = (partitions == partition) & (offsets <= cut)
    mask = pa.array(first)
    rest = rows.filter(pa.array(~first))
    # All rows of a commit are of one topic.
    key = Partition(rows["topic_id"][0].as_py(), int(partition))
    return rows.filter(mask), rest, {key: int(cut)}


def unstorable(row: pa.Table, now: datetime) -> pa.Table:
    """The dead letter of one event that `events` refused, as a table of one row."""
    event = row.to_pylist()[0]
    letter: dict[str, Any] = {name: event[name] for name in tables.ORIGIN}
    letter |= {name: event[name] for name in ("agent", "session_id", "user_id")}
    letter |= {
        "id": event["event_id"],
        "reason": str(Reason.UNSTORABLE),
        "detail": "the table refused the event; raw is made of its columns",
        "raw": _envelope(event),
        "ingested_at": now,
        "date": now.date(),
    }
    return pa.Table.from_pylist([letter], DEAD_LETTERS)


def bare(row: pa.Table) -> pa.Table:
    """What is left of a dead letter that `dead_letters` refused: whence it came."""
    nothing = {
        name: pa.nulls(1, row.schema.field(name).type)
        for name in (
            "agent",
            "session_id",
            "user_id",
            "key",
            "headers",
            "raw",
            "kafka_ts",
        )
    }
    nothing["reason"] = pa.array([str(Reason.UNSTORABLE)])
    nothing["detail"] = pa.array(["the table refused the dead letter itself"])
    columns = [nothing.get(name, row[name]) for name in row.column_names]
    return pa.Table.from_arrays(columns, schema=row.schema)


def _envelope(event: dict[str, Any]) -> bytes:
    meta = {name: event[name] for name in META if event[name] is not None}
    return msgspec.json.encode(
        {
            "id": event["event_id"],
            "type": event["type"],
            "timestamp": event["ts"],
            "agent": event["agent"],
            "payload": msgspec.Raw(event["payload"].encode()),
            "meta": meta,
        }
    )
