"""Builders of test data with defaults; a test passes only the values that matter."""

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from schemas.arrow import DECODED_DEAD_LETTERS, DECODED_EVENTS, RECORDS
from schemas.batches import Decoded, Polled, Progress
from schemas.replay import Mark
from semloop import tables
from semloop.delta.streams import Partition, StreamId

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LOG = StreamId("archive", "cluster-1", "agent-events", "topic-1")
PAYLOADS: dict[str, dict[str, Any]] = {
    "tool_call": {"tool": "search", "status": "success", "result": "three flights"},
    "state_change": {"to_state": "searching"},
    "completion": {"outcome": "success", "reward": 1.0},
    "error": {"error_type": "Timeout", "message": "no answer"},
    "message": {"role": "user", "content": "hello"},
    "feedback": {"name": "helpful", "source": "human", "score": 0.5},
    "tool_start": {"tool": "search", "running_ms": 10_000.0},
}


def an_event(
    kind: str = "message",
    *,
    payload: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Build a valid event, as the JSON object that an agent sends."""
    return {
        "id": str(uuid.uuid4()),
        "type": kind,
        "timestamp": "2026-11-20T11:59:00+00:00",
        "agent": "tester",
        "payload": dict(payload) if payload is not None else PAYLOADS[kind],
        "meta": {"session_id": "s-1", **(meta or {})},
        **fields,
    }


def raw(event: object) -> bytes:
    """Encode an event, or any other JSON value; return bytes unchanged."""
    return event if isinstance(event, bytes) else json.dumps(event).encode()


def a_poll(
    *values: object,
    partition: int = 0,
    first: int = 0,
    keys: Sequence[bytes | None] | None = None,
    kafka_ts: datetime | None = NOW,
    schema_version: str | None = None,
    idempotency_keys: Sequence[str | None] | None = None,
    marks: Sequence[Mark | None] | None = None,
) -> Polled:
    """Build a poll of consecutive records of one partition; None is a tombstone."""
    count = len(values)
    columns: dict[str, list[Any]] = {
        "topic": ["agent-events"] * count,
        "topic_id": ["topic-1"] * count,
        "kafka_partition": [partition] * count,
        "kafka_offset": list(range(first, first + count)),
        "kafka_ts": [kafka_ts] * count,
        "key": list(keys or [b"s-1"] * count),
        "value": [None if value is None else raw(value) for value in values],
        "headers": [None] * count,
        "schema_version": [schema_version] * count,
        "idempotency_key": list(idempotency_keys or [None] * count),
        "replay": [None if mark is None else mark.text() for mark in marks or ()]
        or [None] * count,
    }
    arrays = [pa.array(columns[f.name], f.type) for f in RECORDS]
    positions = {partition: first + count - 1} if count else {}
    batch = pa.RecordBatch.from_arrays(arrays, schema=RECORDS)
    return Polled(batch, Progress(keyed(positions)))


P0, P1 = Partition("topic-1", 0), Partition("topic-1", 1)


def keyed(values: Mapping[int, int], topic_id: str = "topic-1") -> dict[Partition, int]:
    """Replace partition numbers by `Partition`s of a topic."""
    return {Partition(topic_id, number): value for number, value in values.items()}


def decoded_rows(
    good: Sequence[tuple[int, int]],
    dead: Sequence[tuple[int, int]],
    positions: Mapping[int, int],
    *,
    last: bool = False,
) -> Decoded:
    """Build decoded rows that differ only in (partition, offset)."""
    events = [
        {"event_id": str(uuid.uuid4()), "type": "message", "ts": NOW, "payload": "{}"}
        | _origin(p, o)
        for p, o in good
    ]
    letters = [
        {"id": str(uuid.uuid4()), "reason": "not_json", "raw": b"x"} | _origin(p, o)
        for p, o in dead
    ]
    return Decoded(
        pa.RecordBatch.from_pylist(events, DECODED_EVENTS),
        pa.RecordBatch.from_pylist(letters, DECODED_DEAD_LETTERS),
        Progress(keyed(positions), last=last),
    )


def marked_letters(letters: pa.RecordBatch, mark: Mark) -> pa.RecordBatch:
    """Return dead letters as those of replays with this mark."""
    named = {"replay_of": mark.letter, "replay_origin": mark.origin}
    rows = [row | named | {"attempt": mark.attempt} for row in letters.to_pylist()]
    return pa.RecordBatch.from_pylist(rows, DECODED_DEAD_LETTERS)


def _origin(partition: int, offset: int) -> dict[str, Any]:
    values = ("agent-events", "topic-1", partition, offset, NOW)
    return dict(zip(tables.ORIGIN, values, strict=True))
