"""Verdicts that are cheaper on whole columns than on single events."""

import uuid
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.verdict import Verdict
from schemas.dead_letter import Reason
from semloop.event import CONTEXT_HASH_PATTERN, EVENT_ID_PATTERN

US = 1_000_000
TS_MIN_US = 946_684_800 * US  # 2000-01-01
# Clocks of agents may run ahead of the broker's by this much.
TS_AHEAD_US = 5 * 60 * US


def canonical_ids(events: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[int, Verdict]]:
    """Bring ids into the canonical form of a UUID; {row: verdict} where that fails."""
    odd = _unmatched(events["event_id"], EVENT_ID_PATTERN)
    if not odd:
        return events, {}
    ids = events["event_id"].to_pylist()
    verdicts = {}
    for row in odd:
        try:
            ids[row] = str(uuid.UUID(ids[row]))
        except ValueError:
            detail = "$.id: expected a UUID"
            verdicts[row] = Verdict(Reason.INVALID_VALUE, detail)
    column = events.schema.get_field_index("event_id")
    return events.set_column(column, "event_id", pa.array(ids, pa.string())), verdicts


def column_verdicts(events: pa.RecordBatch, now: datetime) -> dict[int, Verdict]:
    """{row: verdict} of the events whose hash or timestamp is not allowed."""
    verdicts = {}
    for row in _unmatched(events["context_hash"], CONTEXT_HASH_PATTERN):
        detail = "$.meta.context_hash: expected sha256: and 64 hex digits"
        verdicts[row] = Verdict(Reason.INVALID_VALUE, detail)
    now_us = int(now.timestamp() * US)
    ts = events["ts"].cast(pa.int64()).to_numpy()
    arrived = events["kafka_ts"].cast(pa.int64()).fill_null(now_us).to_numpy()
    latest = np.minimum(arrived, now_us) + TS_AHEAD_US
    for row in np.flatnonzero((ts < TS_MIN_US) | (ts > latest)).tolist():
        detail = "$.timestamp: expected 2000-01-01 to 5 minutes after its arrival"
        verdicts[row] = Verdict(Reason.TIMESTAMP_OUT_OF_RANGE, detail)
    return verdicts


def _unmatched(column: pa.Array, pattern: str) -> list[int]:
    if column.null_count == len(column):
        return []
    match = pc.match_substring_regex(column, pattern).fill_null(True)  # noqa: FBT003
    if pc.all(match).as_py():
        return []
    rows: list[int] = np.flatnonzero(~match.to_numpy(zero_copy_only=False)).tolist()
    return rows
