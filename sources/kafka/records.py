"""Kafka messages -> an Arrow batch with schema `schemas.arrow.RECORDS`."""

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from schemas.arrow import RECORDS
from schemas.replay import Mark
from semloop.event import IDEMPOTENCY_HEADER, SCHEMA_HEADER
from semloop.kafka.topic import Topic

Headers = Sequence[tuple[str, bytes | None]]
TS = RECORDS.field("kafka_ts").type
MS_MAX = 253_370_764_800_000  # 9999-01-01


def records(
    messages: Sequence[Any], topic: Topic
) -> tuple[pa.RecordBatch, dict[int, int]]:
    """Return the batch of a poll and the last offset per partition.

    Args:
        messages: `confluent_kafka.Message`s without error, in polled order.
        topic: their topic.
    """
    count = len(messages)
    partitions = [m.partition() for m in messages]
    offsets = [m.offset() for m in messages]
    headers = [_headers(m) for m in messages]
    if any(headers):
        read = [_read(h) for h in headers]
        texts, versions, keys, replays = map(list, zip(*read, strict=True))
    else:
        texts = versions = keys = replays = [None] * count
    columns = [
        pa.repeat(topic.name, count),
        pa.repeat(topic.topic_id, count),
        pa.array(partitions, pa.int32()),
        pa.array(offsets, pa.int64()),
        _timestamps([m.timestamp()[1] for m in messages]),
        pa.array([m.key() for m in messages], pa.binary()),
        pa.array([m.value() for m in messages], pa.binary()),
        pa.array(texts, pa.string()),
        pa.array(versions, pa.string()),
        pa.array(keys, pa.string()),
        pa.array(replays, pa.string()),
    ]
    # Offsets of a partition increase within a poll, so the last one is the maximum.
    last = dict(zip(partitions, offsets, strict=True))
    return pa.RecordBatch.from_arrays(columns, schema=RECORDS), last


def _timestamps(stamps: list[int]) -> pa.Array:
    """Convert milliseconds to timestamps.

    Null where a record has no timestamp (0 or less), or one beyond the year 9999, which
    some brokers accept but tables cannot store.
    """
    ms = pa.array(stamps, pa.int64())
    if stamps and not 0 < min(stamps) <= max(stamps) < MS_MAX:
        valid = pc.and_(pc.greater(ms, 0), pc.less(ms, MS_MAX))
        ms = pc.if_else(valid, ms, pa.scalar(None, pa.int64()))
    return ms.cast(pa.timestamp("ms", "UTC")).cast(TS)


def _headers(message: Any) -> Headers | None:
    """Return the headers; None if a header name is not valid UTF-8."""
    try:
        headers: Headers | None = message.headers()
    except UnicodeDecodeError:
        return None
    return headers


def _read(headers: Headers | None) -> tuple[str | None, ...]:
    """Return the headers as JSON text, schema version, idempotency key, and mark."""
    if not headers:
        return None, None, None, None
    pairs = [(name, _text(value)) for name, value in headers]
    named = dict(pairs)
    key = named.get(IDEMPOTENCY_HEADER)
    try:
        key = key and str(uuid.UUID(key))
    except ValueError:
        key = None  # Set by another producer: the record is not deduplicated by it.
    mark = Mark.of(named)
    replay = None if mark is None else mark.text()
    return msgspec.json.encode(pairs).decode(), named.get(SCHEMA_HEADER), key, replay


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
