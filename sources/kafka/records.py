"""Kafka messages -> an Arrow batch as `schemas.arrow.RECORDS`."""

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from schemas.arrow import RECORDS
from semloop.event import IDEMPOTENCY_HEADER, SCHEMA_HEADER
from semloop.kafka.topic import Topic

Headers = Sequence[tuple[str, bytes | None]]
TS = RECORDS.field("kafka_ts").type
MS_MAX = 253_370_764_800_000  # 9999-01-01


def records(
    messages: Sequence[Any], topic: Topic
) -> tuple[pa.RecordBatch, dict[int, int]]:
    """The batch of a poll and the last offset per partition.

    Args:
        messages: `confluent_kafka.Message`s without error, as they were polled.
        topic: where they are from.
    """
    count = len(messages)
    partitions = [m.partition() for m in messages]
    offsets = [m.offset() for m in messages]
    headers = [_headers(m) for m in messages]
    if any(headers):
        read = [_read(h) for h in headers]
        texts, versions, keys = (list(column) for column in zip(*read, strict=True))
    else:
        texts = versions = keys = [None] * count
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
    ]
    # Offsets of a partition rise within a poll, so the last one stands.
    last = dict(zip(partitions, offsets, strict=True))
    return pa.RecordBatch.from_arrays(columns, schema=RECORDS), last


def _timestamps(stamps: list[int]) -> pa.Array:
    """Milliseconds as timestamps.

    A record without one has 0 or less there; one beyond the year 9999, which some
    brokers accept, has none that tables could hold.
    """
    ms = pa.array(stamps, pa.int64())
    if stamps and not 0 < min(stamps) <= max(stamps) < MS_MAX:
        sound = pc.and_(pc.greater(ms, 0), pc.less(ms, MS_MAX))
        ms = pc.if_else(sound, ms, pa.scalar(None, pa.int64()))
    return ms.cast(pa.timestamp("ms", "UTC")).cast(TS)


def _headers(message: Any) -> Headers | None:
    """A record whose header names are no UTF-8 is read without its headers."""
    try:
        headers: Headers | None = message.headers()
    except UnicodeDecodeError:
        return None
    return headers


def _read(headers: Headers | None) -> tuple[str | None, str | None, str | None]:
    """Headers as JSON text, the schema version and the id of what may come again."""
    if not headers:
        return None, None, None
    pairs = [(name, _text(value)) for name, value in headers]
    named = dict(pairs)
    once = named.get(IDEMPOTENCY_HEADER)
    try:
        once = once and str(uuid.UUID(once))
    except ValueError:
        once = None  # Not ours: such a record is treated like any other.
    return msgspec.json.encode(pairs).decode(), named.get(SCHEMA_HEADER), once


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
