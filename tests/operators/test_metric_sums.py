"""Sums of events: the same as one GROUP BY, however the events are cut into batches."""

import math
import random
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.metrics.durations import bucket_duration_ms, duration_buckets
from operators.metrics.sums import sum_events, sums
from schemas.arrow import EVENTS, METRIC_SUMS
from schemas.batches import PolledEvents, Progress
from semloop.agent_metrics import (
    CREDITS_MAX,
    DURATION_MS_MAX,
    DURATION_MS_MIN,
    KEYS,
    RELATIVE_ERROR,
    SUMS,
)
from semloop.tables import AGENT_METRICS, ORIGIN, STAMP
from tests.operators.event_rows import batches, event_row, events_table
from tests.operators.metric_events import event_rows, expected, found, stream
from tests.support.builders import NOW, P0

ROWS = st.lists(event_rows(), max_size=30)
DURATIONS = st.floats(DURATION_MS_MIN, DURATION_MS_MAX)


def buckets(*durations: float | None) -> list[int | None]:
    values = pa.chunked_array([pa.array(durations, pa.float64())])
    result: list[int | None] = duration_buckets(values).to_pylist()
    return result


@given(ROWS, st.sets(st.integers(1, 29)), st.randoms())
def test_sums_of_any_batches_are_those_of_one_group_by(
    rows: list[dict[str, object]], cuts: set[int], rng: random.Random
) -> None:
    events = stream(rows)
    parts = [sums(part) for part in batches(events, cuts)]
    rng.shuffle(parts)
    together = pa.concat_tables([METRIC_SUMS.empty_table(), *parts])
    assert found(together) == expected(events)


def test_a_batch_has_one_row_per_key_with_the_origin_of_its_last_event() -> None:
    rows = [event_row(at_s=s, agent=a) for s, a in ((1, "a"), (2, "a"), (3, "b"))]
    summed = sums(events_table(*rows, first=7)).sort_by("agent")
    assert summed.schema == METRIC_SUMS
    assert summed["events"].to_pylist() == [2, 1]
    assert summed["kafka_offset"].to_pylist() == [8, 9]
    assert summed["minute"].to_pylist() == [NOW, NOW]


def test_credits_are_counted_to_a_billionth_and_within_a_bound() -> None:
    rows = [event_row(credits_used=c, agent=a) for a, c in
            (("a", 0.1), ("a", 0.2), ("b", 1e300), ("c", -1e300))]  # fmt: skip
    summed = sums(events_table(*rows)).sort_by("agent")
    bound = Decimal(int(CREDITS_MAX))
    assert summed["credits_used"].to_pylist() == [Decimal("0.3"), bound, -bound]


def test_a_poll_without_events_has_its_progress() -> None:
    progress = Progress({P0: 7})
    summed = sum_events(PolledEvents(EVENTS.empty_table(), progress))
    assert (summed.progress, summed.sums.num_rows) == (progress, 0)


@given(st.lists(DURATIONS, min_size=1, max_size=50))
def test_a_bucket_shows_its_durations_within_the_error(
    durations: list[float],
) -> None:
    for duration, bucket in zip(durations, buckets(*durations), strict=True):
        assert bucket is not None
        error = abs(bucket_duration_ms(bucket) - duration) / duration
        assert error <= RELATIVE_ERROR * (1 + 1e-9)


@given(st.lists(DURATIONS, min_size=2, max_size=50))
def test_longer_durations_have_no_lower_bucket(durations: list[float]) -> None:
    found = buckets(*sorted(durations))
    assert found == sorted(found, key=lambda bucket: bucket or 0)


@pytest.mark.parametrize("duration", [0.0, -0.0, -5.0, 1e-300, DURATION_MS_MIN])
def test_durations_below_a_microsecond_are_in_the_lowest_bucket(
    duration: float,
) -> None:
    assert buckets(duration) == buckets(DURATION_MS_MIN)


def test_durations_may_be_absent_or_too_long() -> None:
    assert buckets(None, None) == [None, None]
    absent, long, longest = buckets(None, math.nextafter(1e308, 0), DURATION_MS_MAX)
    assert absent is None
    assert long == longest


def test_every_column_is_a_key_or_a_sum() -> None:
    assert [*KEYS, *SUMS, *ORIGIN, *STAMP] == list(AGENT_METRICS)
