"""Records -> events and dead letters: the verdict of every record of a poll.

Shape: `Polled` (records as `schemas.arrow.RECORDS`) in, `Decoded` out. A poll without
a bad record takes the fast path: one comprehension over the records, then checks of
whole columns. Only a poll with a bad record, or with unknown fields, is judged row by
row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.decoding.column_checks import canonical_ids, column_verdicts
from operators.decoding.dead_letters import bury
from operators.decoding.event_columns import EventRow, event_columns, event_row
from operators.decoding.verdict import DEPTH_MAX, Verdict, judge, too_deep
from schemas.batches import Decoded, Polled
from schemas.dead_letter import Reason
from semloop.event import SCHEMA_VERSION, decode_payload, decode_strict


@dataclass
class _Judged:
    """The events of a poll, the rows they came from, and why other rows are none."""

    events: list[EventRow]
    extras: list[str | None] | None = None
    rows: list[int] | None = None
    verdicts: dict[int, Verdict] = field(default_factory=dict)


def decode(polled: Polled, now: datetime, bytes_max: int) -> Decoded:
    """Judge every record of a poll.

    Args:
        polled: records as the source emits them, already redacted.
        now: together with Kafka's timestamp the latest time that an event may name.
        bytes_max: a larger record becomes a dead letter without its content.

    Returns:
        every record as exactly one event, one dead letter or one skipped.
    """
    records = polled.records
    judged = _all_at_once(records, bytes_max)
    if judged is None:
        judged = _one_by_one(records, bytes_max)
    sound = records
    if judged.rows is not None:
        sound = records.take(pa.array(judged.rows, pa.int32()))
    events = event_columns(sound, judged.events, judged.extras)
    events, condemned = canonical_ids(events)
    condemned |= column_verdicts(events, now)
    if condemned:
        rows = judged.rows or range(records.num_rows)
        judged.verdicts |= {rows[i]: verdict for i, verdict in condemned.items()}
        keep = [i not in condemned for i in range(events.num_rows)]
        sound, events = (batch.filter(pa.array(keep)) for batch in (sound, events))
    letters = bury(records, sorted(judged.verdicts.items()))
    return Decoded(
        events=events,
        dead_letters=letters,
        progress=polled.progress,
        redelivered_ids=_once(sound, events) | _once_dead(records, letters),
        skipped=records.num_rows - events.num_rows - letters.num_rows,
        misrouted=_misrouted(sound, events),
    )


def _all_at_once(records: pa.RecordBatch, bytes_max: int) -> _Judged | None:
    """All records as events, or None when any of them needs a closer look."""
    value, version = records["value"], records["schema_version"]
    if value.null_count or version.null_count < len(version):
        return None
    if (pc.max(pc.binary_length(value)).as_py() or 0) > bytes_max:
        return None
    values = value.to_pylist()
    if any(too_deep(values[row]) for row in _much_nested(value)):
        return None
    try:
        value.cast(pa.string())  # the quickest check that all of it is UTF-8
        events = [
            event_row(e, decode_payload[e.type](e.payload))
            for e in map(decode_strict, values)
        ]
    except (pa.ArrowInvalid, msgspec.MsgspecError, RecursionError):
        return None
    return _Judged(events)


def _one_by_one(records: pa.RecordBatch, bytes_max: int) -> _Judged:
    """Each record for itself."""
    judged = _Judged([], [], [])
    assert judged.rows is not None
    assert judged.extras is not None
    versions = records["schema_version"].to_pylist()
    values = records["value"].to_pylist()
    for row, (value, version) in enumerate(zip(values, versions, strict=True)):
        if not value:
            continue  # a tombstone or an empty value
        if version not in (None, SCHEMA_VERSION) and len(value) <= bytes_max:
            detail = f"expected version {SCHEMA_VERSION}"
            judged.verdicts[row] = Verdict(Reason.UNKNOWN_SCHEMA, detail)
            continue
        outcome = judge(value, bytes_max)
        if isinstance(outcome, Verdict):
            judged.verdicts[row] = outcome
            continue
        envelope, payload, extra = outcome
        judged.rows.append(row)
        judged.events.append(event_row(envelope, payload))
        judged.extras.append(extra)
    return judged


def _much_nested(value: pa.BinaryArray) -> Sequence[int]:
    """Rows with more than `DEPTH_MAX` opening brackets, strings included.

    A count over the one buffer that holds all values costs a fifth of counting in
    each: `[` and `{` differ in one bit.
    """
    if not len(value) or value.buffers()[2] is None:
        return []
    offsets = np.frombuffer(value.buffers()[1], np.int32)
    offsets = offsets[value.offset : value.offset + len(value) + 1]
    letters = np.frombuffer(value.buffers()[2], np.uint8)[: offsets[-1]]
    opening = np.flatnonzero((letters | 0x20) == ord("{"))
    counts = np.diff(np.searchsorted(opening, offsets))
    rows: list[int] = np.flatnonzero(counts > DEPTH_MAX).tolist()
    return rows


def _once(records: pa.RecordBatch, events: pa.RecordBatch) -> frozenset[str]:
    """Ids of events that may have been sent before."""
    marked = records["idempotency_key"].is_valid()
    if not pc.any(marked).as_py():
        return frozenset()
    return frozenset(events["event_id"].filter(marked).to_pylist())


def _once_dead(records: pa.RecordBatch, letters: pa.RecordBatch) -> frozenset[str]:
    """Ids of dead letters whose record may have been sent before: the record's own."""
    if not letters.num_rows:
        return frozenset()
    return frozenset(letters["id"].to_pylist()) & set(
        records["idempotency_key"].to_pylist()
    )


def _misrouted(records: pa.RecordBatch, events: pa.RecordBatch) -> int:
    """Events whose Kafka key is not their session: they may be out of order."""
    same = pc.equal(records["key"], events["session_id"].cast(pa.binary()))
    return int(events.num_rows - (pc.sum(same).as_py() or 0))
