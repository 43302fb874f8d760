"""Which rows of a date have expired."""

from datetime import date, timedelta

import pytest

from operators.retention import expired_rows
from schemas.retention import ALL

TODAY = date(2026, 11, 28)


def expired(age_days: int, **retention: float) -> str | None:
    days = {key.replace("__", "/"): value for key, value in retention.items()}
    return expired_rows(days, "events", TODAY - timedelta(days=age_days), TODAY)


@pytest.mark.parametrize("retention", [{}, {"events": 0.0}, {"dead_letters": 2.0}])
def test_rows_are_kept_indefinitely_without_a_retention(
    retention: dict[str, float],
) -> None:
    assert expired(100_000, **retention) is None


def test_a_date_expires_once_its_last_moment_has() -> None:
    assert expired(90, events=90) is None
    assert expired(91, events=90) == ALL


def test_a_namespace_may_expire_earlier() -> None:
    days = {"events": 90.0, "events__it's": 7.0, "events__b": 7.0}
    assert expired(8, **days) == "coalesce(namespace IN ('b', 'it''s'), false)"
    assert expired(7, **days) is None
    assert expired(91, **days) == ALL


def test_a_namespace_may_expire_later_or_never() -> None:
    days = {"events": 7.0, "events__a": 90.0, "events__b": 0.0}
    assert expired(8, **days) == "NOT coalesce(namespace IN ('a', 'b'), false)"
    assert expired(91, **days) == "NOT coalesce(namespace IN ('b'), false)"


def test_a_namespace_may_expire_where_the_table_never_does() -> None:
    assert expired(8, events__a=7) == "coalesce(namespace IN ('a'), false)"


def test_dates_to_come_never_expire() -> None:
    assert expired(-3, events=2) is None
