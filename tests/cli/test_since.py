import math
import time
from datetime import UTC, datetime, timedelta

import pytest

from semloop.command.cli.since_option import parse_since
from semloop.command.terminal.durations import format_age, format_duration
from semloop.errors import ConfigError

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("90m", NOW - timedelta(minutes=90)),
        (" 1.5 H ", NOW - timedelta(minutes=90)),
        ("2w", NOW - timedelta(days=14)),
        ("30s", NOW - timedelta(seconds=30)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ],
)
def test_since_accepts_a_duration_or_a_timestamp(text: str, expected: datetime) -> None:
    assert parse_since(text, NOW) == expected
    assert parse_since(text, NOW).utcoffset() == timedelta(0)


def test_a_timestamp_without_an_offset_is_utc_in_any_time_zone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert parse_since("2026-01-31 12:00") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    time.tzset()


@pytest.mark.parametrize(
    "text",
    ["", "h", "24", "-24h", "24 hours", "yesterday", "1h30m", "2026-13-01", "٢h",
     "0001-01-01T00:00:00+10:00", "\x1b[2J"],
)  # fmt: skip
def test_since_rejects_any_other_text(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_since(text, NOW)
    assert repr(text) in caught.value.what
    assert "24h" in caught.value.todo
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("text", ["9999999d", "9" * 400 + "d"])
def test_since_rejects_a_duration_beyond_the_calendar(text: str) -> None:
    with pytest.raises(ConfigError, match="is before year 1"):
        parse_since(text, NOW)


def test_since_defaults_to_the_system_clock() -> None:
    assert abs(datetime.now(UTC) - parse_since("0s")) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 ms"), (0.35, "350 ms"), (0.9996, "1.0 s"), (1.24, "1.2 s"),
        (59.97, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (3_600, "1 h"),
        (3_605, "1 h"), (7_500, "2 h 5 min"), (273_600, "3 d 4 h"), (-1.5, "-1.5 s"),
        (400 * 86_400, "1 y 35 d"), (365 * 86_400, "1 y"), (12 * 86_400, "12 d"),
        (0.0003, "0.3 ms"), (0.012, "12 ms"), (2, "2.0 s"), (184, "3 min 4 s"),
        (1e-9, "0.0 ms"), (0.00995, "10 ms"), (2e9, "63 y 153 d"),
        (1e13, "317,097 y 335 d"), (1e297, "over 1,000,000 y"),
        (math.inf, "over 1,000,000 y"), (-1e297, "under -1,000,000 y"),
        (math.nan, "unknown"),
    ],
)  # fmt: skip
def test_a_duration_is_formatted_in_two_units(seconds: float, expected: str) -> None:
    assert format_duration(seconds) == expected


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (timedelta(minutes=3, seconds=59), "3 min"), (timedelta(days=2.9), "2 d"),
        (timedelta(hours=5), "5 h"), (timedelta(seconds=12.9), "12 s"),
        (timedelta(seconds=-5), "0 s"), (timedelta(0), "0 s"),
    ],
)  # fmt: skip
def test_an_age_is_formatted_in_one_unit(ago: timedelta, expected: str) -> None:
    assert format_age(NOW - ago, NOW) == expected
