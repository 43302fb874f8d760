"""Adds up the events of a batch, by minute, partition, agent and what they are about.

The sums of two batches are the sums of their rows, so batches may have any size and
order. Nothing is kept from one batch to the next.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.metrics.durations import duration_buckets
from schemas.arrow import ARROW_TYPES, METRIC_SUMS
from schemas.batches import PolledEvents
from schemas.summed import Summed
from semloop.agent_metrics import COUNTED, CREDITS_MAX, KEYS, SUMS, TOKENS
from semloop.tables import ORIGIN

MINUTE_US = 60_000_000
INTEGER, DECIMAL = ARROW_TYPES["DECIMAL(38,0)"], ARROW_TYPES["DECIMAL(38,9)"]
TIMESTAMP = ARROW_TYPES["TIMESTAMPTZ"]
# The columns that all events of a row have in common. The rest of the origin, offset
# and time, is that of the last one.
GROUPED = ("topic", "topic_id", "kafka_partition", *KEYS)
LAST = tuple(name for name in ORIGIN if name not in GROUPED)


def sum_events(polled: PolledEvents) -> Summed:
    """Return the sums of a poll."""
    events = polled.events
    if not events.num_rows:
        return Summed(METRIC_SUMS.empty_table(), polled.progress)
    return Summed(sums(events), polled.progress, events.num_rows, events["kafka_ts"])


def sums(events: pa.Table) -> pa.Table:
    """Add up events.

    Args:
        events: as `schemas.arrow.EVENTS`, in any order.

    Returns:
        a row per combination of `GROUPED`, as `schemas.arrow.METRIC_SUMS`.
    """
    columns = {name: events[name] for name in GROUPED if name in events.column_names}
    columns["minute"] = _minutes(events["ts"])
    columns["duration_bucket"] = duration_buckets(events["duration_ms"])
    columns |= {name: events[name] for name in LAST}
    columns |= _summands(events)
    added = [name for name in SUMS if name in columns]
    grouped = (
        pa.table(columns)
        .group_by(list(GROUPED), use_threads=False)
        .aggregate(
            [([], "count_all")]
            + [(name, "sum", pc.ScalarAggregateOptions(min_count=0)) for name in added]
            + [(name, "max") for name in LAST]
        )
    )
    found = {name: grouped[name] for name in GROUPED}
    found |= {name: grouped[f"{name}_max"] for name in LAST}
    found |= {name: grouped[f"{name}_sum"] for name in added}
    found["events"] = grouped["count_all"]
    rows = grouped.num_rows
    return pa.table(
        [_column(found, field, rows) for field in METRIC_SUMS], schema=METRIC_SUMS
    )


def _minutes(ts: pa.ChunkedArray) -> pa.Array:
    # NOTE: `floor_temporal` takes ten times as long.
    times = ts.cast(pa.int64()).to_numpy()
    return pa.array(times - times % MINUTE_US).cast(TIMESTAMP)


def _summands(events: pa.Table) -> Mapping[str, pa.Array]:
    """Return what each event adds to the sums; nothing for a sum that none adds to."""
    found: dict[str, pa.Array] = {}
    for name, (column, value) in COUNTED.items():
        is_counted = pc.equal(events[column], value)
        if pc.any(is_counted).as_py():
            found[name] = is_counted.cast(pa.int64())
    credits_used = events["credits_used"]
    if pc.any(pc.not_equal(credits_used, 0.0)).as_py():
        given = credits_used.fill_null(0.0).to_numpy()
        within = np.clip(given, -CREDITS_MAX, CREDITS_MAX)
        found["credits_used"] = pa.array(within).cast(DECIMAL)
    for name in TOKENS:
        tokens = events[name]
        if tokens.null_count < len(tokens):
            found[name] = tokens.cast(INTEGER)
    return found


def _column(
    found: Mapping[str, pa.ChunkedArray], field: pa.Field, rows: int
) -> pa.ChunkedArray:
    if field.name not in found:
        return pa.repeat(pa.scalar(0, pa.int64()), rows).cast(field.type)
    return found[field.name].cast(field.type)
