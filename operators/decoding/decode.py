"""Decodes the records of a poll into events and dead letters.

Input: `Polled` (records as `schemas.arrow.RECORDS`). Output: `Decoded`. A poll without
a bad record takes the fast path: one comprehension over the records, then checks of
whole columns. A poll with a bad record, or with unknown fields, is decoded row by row.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.by_agent import count_by_agent
from operators.decoding.artifact_column import name_artifacts
from operators.decoding.column_checks import canonical_ids, column_rejections
from operators.decoding.dead_letters import to_dead_letters
from operators.decoding.event_columns import EventRow, event_columns, event_row
from operators.decoding.times import replace_absurd_times
from operators.decoding.validation import DEPTH_MAX, Rejection, too_deep, validate
from schemas.batches import Decoded, Polled
from schemas.dead_letter import Reason
from schemas.replay import Replayed, decode_mark
from semloop.event import SCHEMA_VERSION, decode_payload, decode_strict
from semloop.event_keys import event_keys
from semloop.progress.activity import MISROUTED


@dataclass
class _DecodedRows:
    """Events of a poll, the rows that they came from, and the rejected rows."""

    events: list[EventRow]
    extras: list[str | None] | None = None
    rows: list[int] | None = None
    rejected: dict[int, Rejection] = field(default_factory=dict)


def decode(polled: Polled, now: datetime, bytes_max: int) -> Decoded:
    """Decode and validate every record of a poll.

    Args:
        polled: records as the source emits them, already redacted, with placeholders
            for the values of large ones.
        now: the time of arrival: it replaces an absurd Kafka timestamp, and is an upper
            bound of an event's time, together with the Kafka timestamp.
        bytes_max: a larger record becomes a dead letter without its content.

    Returns:
        every record as exactly one event, one dead letter or one skipped.
    """
    records, absurd_times = replace_absurd_times(polled.records, now)
    sizes = polled.sizes
    if sizes is None:
        sizes = pc.binary_length(records["value"])
    too_large = (pc.max(sizes).as_py() or 0) > bytes_max
    decoded = None if too_large else _decode_fast(records)
    if decoded is None:
        decoded = _decode_by_row(records, sizes.to_pylist(), bytes_max)
    valid = records
    if decoded.rows is not None:
        valid = records.take(pa.array(decoded.rows, pa.int32()))
    events = event_columns(valid, decoded.events, decoded.extras)
    events, rejected = canonical_ids(events)
    rejected |= column_rejections(events, now)
    rows = range(records.num_rows) if decoded.rows is None else decoded.rows
    if rejected:
        decoded.rejected |= {rows[i]: rejection for i, rejection in rejected.items()}
        keep = [i not in rejected for i in range(events.num_rows)]
        valid, events = (batch.filter(pa.array(keep)) for batch in (valid, events))
        rows = list(itertools.compress(rows, keep))
    artifacts: Mapping[str, bytes] = {}
    if polled.large:
        events, artifacts = name_artifacts(
            events, rows, polled.large, polled.cluster_id
        )
    misrouted = _misrouted(valid, events)
    whole = {row: record.whole for row, record in polled.large.items()}
    letters = to_dead_letters(records, sorted(decoded.rejected.items()), whole)
    return Decoded(
        events=events,
        dead_letters=letters,
        progress=polled.progress,
        redelivered_ids=(
            _redelivered_events(valid, events) | _redelivered_letters(records, letters)
        ),
        skipped=records.num_rows - events.num_rows - letters.num_rows,
        misrouted=Counter(misrouted["kafka_partition"].to_pylist()),
        by_agent=count_by_agent(misrouted, MISROUTED),
        artifacts=artifacts,
        absurd_times=absurd_times,
        replayed=_replayed(valid, events),
    )


def _decode_fast(records: pa.RecordBatch) -> _DecodedRows | None:
    """Decode all records as events; None if any of them must be decoded by row."""
    value, version = records["value"], records["schema_version"]
    if value.null_count or version.null_count < len(version):
        return None
    values = value.to_pylist()
    if any(too_deep(values[row]) for row in _rows_with_many_brackets(value)):
        return None
    try:
        value.cast(pa.string())  # the fastest UTF-8 check
        events = [
            event_row(e, decode_payload[e.type](e.payload))
            for e in map(decode_strict, values)
        ]
    except (pa.ArrowInvalid, msgspec.MsgspecError, RecursionError):
        return None
    return _DecodedRows(events)


def _decode_by_row(
    records: pa.RecordBatch, sizes: Sequence[int], bytes_max: int
) -> _DecodedRows:
    """Decode and validate each record separately."""
    decoded = _DecodedRows([], [], [])
    assert decoded.rows is not None
    assert decoded.extras is not None
    versions = records["schema_version"].to_pylist()
    values = records["value"].to_pylist()
    for row, (value, version, size) in enumerate(
        zip(values, versions, sizes, strict=True)
    ):
        if not value:
            continue  # a tombstone or an empty value
        if version not in (None, SCHEMA_VERSION) and size <= bytes_max:
            detail = f"expected version {SCHEMA_VERSION}"
            decoded.rejected[row] = Rejection(Reason.UNKNOWN_SCHEMA, detail)
            continue
        outcome = validate(value, size, bytes_max)
        if isinstance(outcome, Rejection):
            decoded.rejected[row] = outcome
            continue
        envelope, payload, extra = outcome
        decoded.rows.append(row)
        decoded.events.append(event_row(envelope, payload))
        decoded.extras.append(extra)
    return decoded


def _rows_with_many_brackets(value: pa.BinaryArray) -> Sequence[int]:
    """Return rows with over `DEPTH_MAX` opening brackets, also inside strings.

    One pass over the buffer of all values costs a fifth of counting in each value. The
    mask works because `[` and `{` differ in one bit.
    """
    if not len(value) or value.buffers()[2] is None:
        return []
    offsets = np.frombuffer(value.buffers()[1], np.int32)
    offsets = offsets[value.offset : value.offset + len(value) + 1]
    data = np.frombuffer(value.buffers()[2], np.uint8)[: offsets[-1]]
    opening = np.flatnonzero((data | 0x20) == ord("{"))
    counts = np.diff(np.searchsorted(opening, offsets))
    rows: list[int] = np.flatnonzero(counts > DEPTH_MAX).tolist()
    return rows


def _redelivered_events(
    records: pa.RecordBatch, events: pa.RecordBatch
) -> frozenset[str]:
    """Return the keys of events that may have been sent before."""
    has_key = records["idempotency_key"].is_valid()
    if not pc.any(has_key).as_py():
        return frozenset()
    return frozenset(event_keys(events.filter(has_key)))


def _redelivered_letters(
    records: pa.RecordBatch, letters: pa.RecordBatch
) -> frozenset[str]:
    """Return the ids of dead letters whose record may have been sent before."""
    if not letters.num_rows:
        return frozenset()
    return frozenset(letters["id"].to_pylist()) & set(
        records["idempotency_key"].to_pylist()
    )


def _replayed(records: pa.RecordBatch, events: pa.RecordBatch) -> list[Replayed]:
    """Return the events that were made of dead letters."""
    texts = records["replay"]
    if texts.null_count == len(texts):
        return []
    names = ("kafka_partition", "kafka_offset", "event_id")
    columns = (texts, *(events[name] for name in names))
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return [Replayed(decode_mark(text), *place) for text, *place in rows if text]


def _misrouted(records: pa.RecordBatch, events: pa.RecordBatch) -> pa.RecordBatch:
    """Return the events whose key is not their session.

    They may be out of order, and repeated in another partition.
    """
    same = pc.equal(records["key"], events["session_id"].cast(pa.binary()))
    return events.filter(pc.invert(same.fill_null(False)))
