"""Isolates rows that a table rejects, and makes dead letters of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from schemas.arrow import DEAD_LETTERS
from schemas.dead_letter import Reason
from schemas.replay import Mark
from semloop import tables
from semloop.delta.streams import Partition

META_FIELDS = (
    "session_id", "namespace", "credits_used", "context_hash", "user_id", "task",
    "task_type", "tags", "trace_id", "span_id", "parent_span_id", "importance",
    "agent_version", "prompt_id", "prompt_version", "run_id",
)  # fmt: skip


def split_by_offset(rows: pa.Table) -> tuple[pa.Table, pa.Table, dict[Partition, int]]:
    """Split two or more rows into two parts by offset.

    Returns:
        the first part: rows of one partition up to an offset; the other rows; and
        {partition: that offset}, which the table has reached with the first part.
    """
    partitions = rows["kafka_partition"].to_numpy()
    offsets = rows["kafka_offset"].to_numpy()
    partition = partitions[0]
    own = np.sort(offsets[partitions == partition])
    # If the partition has a single row, the rest are the rows of other partitions.
    last_offset = own[(len(own) - 1) // 2]
    is_first = (partitions == partition) & (offsets <= last_offset)
    first, rest = rows.filter(pa.array(is_first)), rows.filter(pa.array(~is_first))
    # All rows of a commit are of one topic.
    key = Partition(rows["topic_id"][0].as_py(), int(partition))
    return first, rest, {key: int(last_offset)}


def dead_letter_of(
    row: pa.Table, now: datetime, marks: Mapping[tuple[int, int], Mark]
) -> pa.Table:
    """Return the dead letter of one event that `events` rejected, as a row.

    Args:
        row: in the schema of the events table.
        now: the time of the commit.
        marks: (partition, offset) -> mark of a record that is a replay.
    """
    event = row.to_pylist()[0]
    mark = marks.get((event["kafka_partition"], event["kafka_offset"]))
    letter: dict[str, Any] = {name: event[name] for name in tables.ORIGIN}
    letter |= {name: event[name] for name in ("agent", "session_id", "user_id")}
    if mark is not None:
        values = (mark.letter, mark.origin, mark.attempt)
        letter |= zip(("replay_of", "replay_origin", "attempt"), values, strict=True)
    letter |= {
        "id": event["event_id"],
        "reason": str(Reason.UNSTORABLE),
        "detail": "the table rejected the event; raw is rebuilt from its columns",
        "raw": _envelope(event),
        "ingested_at": now,
        "date": now.date(),
    }
    return pa.Table.from_pylist([letter], DEAD_LETTERS)


def without_content(row: pa.Table) -> pa.Table:
    """Return the origin of a dead letter that `dead_letters` rejected, as a row."""
    replaced = {
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
    replaced["reason"] = pa.array([str(Reason.UNSTORABLE)])
    replaced["detail"] = pa.array(["the table rejected the dead letter itself"])
    columns = [replaced.get(name, row[name]) for name in row.column_names]
    return pa.Table.from_arrays(columns, schema=row.schema)


def _envelope(event: dict[str, Any]) -> bytes:
    meta = {name: event[name] for name in META_FIELDS if event[name] is not None}
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
