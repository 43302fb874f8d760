"""An absurd Kafka timestamp is replaced; the event's own timestamp stays strict."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from operators.decoding.decode import decode
from schemas.batches import Decoded, Polled
from tests.operators.broken_records import BYTES_MAX
from tests.support.builders import NOW, a_poll, an_event

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
ONE = timedelta(microseconds=1)
START = datetime(2000, 1, 1, tzinfo=UTC)


def decoded(kafka_ts: datetime | None, ts: datetime = NOW) -> Decoded:
    poll = a_poll(an_event(timestamp=ts.isoformat()), kafka_ts=kafka_ts)
    return decode(poll, NOW, BYTES_MAX)


@pytest.mark.parametrize(
    "kafka_ts",
    [
        pytest.param(None, id="none"),
        pytest.param(datetime(1970, 1, 21, tzinfo=UTC), id="seconds as milliseconds"),
        pytest.param(START - ONE, id="just before 2000"),
        pytest.param(NOW + DAY + ONE, id="just over a day ahead"),
        pytest.param(datetime(9998, 12, 31, tzinfo=UTC), id="far ahead"),
    ],
)
def test_an_absurd_kafka_timestamp_is_replaced_by_the_time_of_arrival(
    kafka_ts: datetime | None,
) -> None:
    result = decoded(kafka_ts)
    assert result.events["kafka_ts"].to_pylist() == [NOW]
    assert result.absurd_times == 1
    late = decoded(kafka_ts, NOW + 6 * MINUTE)
    assert late.dead_letters["kafka_ts"].to_pylist() == [NOW]


@pytest.mark.parametrize("kafka_ts", [START, NOW - 300 * DAY, NOW, NOW + DAY], ids=str)
def test_a_plausible_kafka_timestamp_is_stored(kafka_ts: datetime) -> None:
    result = decoded(kafka_ts, START)
    assert result.events["kafka_ts"].to_pylist() == [kafka_ts]
    assert result.absurd_times == 0


@pytest.mark.parametrize(
    ("kafka_ts", "ts", "detail"),
    [
        (NOW, START - ONE, "expected a time from 2000-01-01 on"),
        (NOW, datetime(1, 1, 1, tzinfo=UTC), "expected a time from 2000-01-01 on"),
        (
            NOW - 60 * MINUTE,
            NOW - 54 * MINUTE,
            "expected at most 5 minutes after the record's Kafka timestamp; the producer's clock is 6 minutes ahead",
        ),
        (
            NOW + 60 * MINUTE,
            NOW + 6 * MINUTE,
            "expected at most 5 minutes after the clock of the flow archive; the producer's clock is 6 minutes ahead",
        ),
        (
            None,
            NOW + 6 * MINUTE,
            "expected at most 5 minutes after the clock of the flow archive; the producer's clock is 6 minutes ahead",
        ),
    ],
    ids=["before 2000", "year 1", "after Kafka", "after now", "no Kafka time"],
)
def test_the_detail_says_which_clock_a_timestamp_exceeds(
    kafka_ts: datetime | None, ts: datetime, detail: str
) -> None:
    (letter,) = decoded(kafka_ts, ts).dead_letters.to_pylist()
    assert letter["reason"] == "timestamp_out_of_range"
    assert letter["detail"] == f"timestamp: {detail}"


def test_only_absurd_timestamps_of_a_poll_are_replaced() -> None:
    event = an_event(timestamp=START.isoformat())
    polls = [a_poll(event, kafka_ts=at) for at in (NOW - DAY, START - DAY)]
    records = pa.concat_batches([poll.records for poll in polls])
    result = decode(Polled(records, polls[0].progress), NOW, BYTES_MAX)
    assert result.events["kafka_ts"].to_pylist() == [NOW - DAY, NOW]
    assert result.absurd_times == 1
