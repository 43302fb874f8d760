"""Bounds of times, and Kafka timestamps that cannot be true.

Kafka stores what a producer sets: seconds or microseconds in place of milliseconds, -1,
or nothing. Such a number says nothing about the event, and later steps compare and
subtract Kafka timestamps: the time of arrival replaces it.
"""

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

US = 1_000_000
TS_MIN_US = 946_684_800 * US  # 2000-01-01
# Tolerance for agents' clocks that are ahead.
TS_AHEAD_US = 5 * 60 * US
# A clock that is only wrong differs by less, even by a time zone. By default, brokers
# accept an hour (`message.timestamp.after.max.ms`), older ones any number.
KAFKA_AHEAD_US = 24 * 3_600 * US
# Details of dead letters whose own timestamp is out of range.
TOO_EARLY = "timestamp: expected a time from 2000-01-01 on"
AFTER_ARRIVAL = (
    "timestamp: expected at most 5 minutes after the clock of the flow archive"
)
AFTER_KAFKA = "timestamp: expected at most 5 minutes after the record's Kafka timestamp"
# Longest first: one unit suffices, since a producer's clock is off by far or by a zone.
_UNITS_US = (("day", 24 * 3_600 * US), ("hour", 3_600 * US), ("minute", 60 * US))


def replace_absurd_times(
    records: pa.RecordBatch, now: datetime
) -> tuple[pa.RecordBatch, int]:
    """Set `kafka_ts` to `now` where it is absurd; return how many were.

    Absurd is no timestamp, one before 2000-01-01, and one over a day later than `now`.

    Args:
        records: a poll, as `schemas.arrow.RECORDS`.
        now: the time of arrival, by the clock of this process.
    """
    times = records["kafka_ts"]
    micros = times.cast(pa.int64())
    now_us = int(now.timestamp() * US)
    plausible = pc.fill_null(
        pc.and_(
            pc.greater_equal(micros, TS_MIN_US),
            pc.less_equal(micros, now_us + KAFKA_AHEAD_US),
        ),
        False,
    )
    count = len(times) - int(pc.sum(plausible).as_py() or 0)
    if not count:
        return records, 0
    arrived = pa.scalar(now_us, pa.int64()).cast(times.type)
    column = records.schema.get_field_index("kafka_ts")
    replaced = pc.if_else(plausible, times, arrived)
    return records.set_column(column, records.schema.field(column), replaced), count


def too_late(ahead_us: int, *, of_kafka: bool) -> str:
    """Return the detail of a time that is ahead of Kafka's, or of the arrival."""
    unit, size_us = next((u for u in _UNITS_US if ahead_us >= 2 * u[1]), _UNITS_US[-1])
    ahead = f"the producer's clock is {round(ahead_us / size_us):,} {unit}s ahead"
    return f"{AFTER_KAFKA if of_kafka else AFTER_ARRIVAL}; {ahead}"
