"""The views of metrics, queried through `Lake`."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from operators.metrics.sums import sums
from semloop.agent_metrics import RELATIVE_ERROR
from semloop.errors import ConfigError
from semloop.lake.lake import Lake
from semloop.settings import load
from tests.operators.event_rows import Row, event_row, events_table
from tests.semloop.written_lake import append, queried, write
from tests.support.builders import NOW

PRICES = {
    "m@2026-01-01": {"input": 1.0, "output": 10.0},
    "m@2026-11-20": {"input": 2.0, "output": 20.0, "cached": 0.5},
}


def summed(lake: Path, *rows: Row, first: int = 0) -> None:
    append(lake, "agent_metrics", sums(events_table(*rows, first=first)))


def call(duration_ms: float | None = None, **columns: Any) -> Row:
    status = columns.pop("status", "success")
    return event_row("tool_call", duration_ms=duration_ms, **columns) | {
        "status": status
    }


def completion(outcome: str, **columns: Any) -> Row:
    return event_row("completion", payload={"outcome": outcome}, **columns)


def quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


def test_quantiles_of_durations_are_within_the_error(tmp_path: Path) -> None:
    rng = random.Random(7)
    durations = [rng.lognormvariate(4, 2) for _ in range(500)]
    # Several commits, and calls without a duration.
    for part in (durations[:100], durations[100:]):
        summed(tmp_path, *map(call, part))
    summed(tmp_path, *(call() for _ in range(50)))
    columns = "duration_p50_ms, duration_p95_ms, duration_p99_ms"
    for view, where in (
        ("metrics_by_agent", "true"),
        ("metrics_by_tool", "tool = 'search'"),
        ("metrics_by_version", "true"),
    ):
        (found,) = queried(tmp_path, f"SELECT {columns} FROM {view} WHERE {where}")
        expected = [quantile(durations, q) for q in (0.5, 0.95, 0.99)]
        for value, exact in zip(found, expected, strict=True):
            assert abs(value - exact) <= RELATIVE_ERROR * exact * (1 + 1e-9)


def test_metrics_by_agent_has_a_row_per_minute_and_agent(tmp_path: Path) -> None:
    rows = [
        event_row(at_s=1, credits_used=0.1, input_tokens=2**63 - 1),
        event_row(at_s=2, credits_used=0.2, input_tokens=1, output_tokens=5),
        call(at_s=59, status="error"),
        completion("partial", at_s=61),
        event_row("error", agent="other"),
    ]
    summed(tmp_path, *rows)
    query = """
    SELECT minute_of, agent, events, messages, tool_calls, tool_failures, errors,
        partials, credits_used, input_tokens, output_tokens, duration_p50_ms
    FROM (SELECT *, date_diff('minute', TIMESTAMPTZ '2026-11-20 12:00:00+00', minute)
        AS minute_of FROM metrics_by_agent)
    ORDER BY agent, minute
    """
    # A sum of tokens that is too large for BIGINT is NULL.
    assert queried(tmp_path, query) == [
        (0, "booker", 3, 2, 1, 1, 0, 0, 0.3, None, 5, None),
        (1, "booker", 1, 0, 0, 0, 0, 1, 0.0, 0, 0, None),
        (0, "other", 1, 0, 0, 0, 1, 0, 0.0, 0, 0, None),
    ]


def test_metrics_by_version_compares_versions(tmp_path: Path) -> None:
    rows = [
        *(completion("success", agent_version="1", credits_used=2.0) for _ in range(3)),
        completion("failure", agent_version="1"),
        completion("failure", agent_version="2", credits_used=1.0),
        event_row(),
    ]
    summed(tmp_path, *rows)
    query = """
    SELECT agent_version, completions, successes, success_rate,
        round(success_at_least, 4), round(success_at_most, 4), credits_per_success
    FROM metrics_by_version ORDER BY agent_version NULLS LAST
    """
    assert queried(tmp_path, query) == [
        ("1", 4, 3, 0.75, 0.3006, 0.9544, 2.0),
        ("2", 1, 0, 0.0, 0.0, 0.7935, None),
        (None, 0, 0, None, None, None, None),
    ]


def test_the_slowest_of_a_few_calls_is_their_95th_percentile(tmp_path: Path) -> None:
    summed(tmp_path, call(100.0), call(30_000.0))
    columns = "round(duration_p50_ms, -1), round(duration_p95_ms, -3)"
    for view in ("metrics_by_agent", "metrics_by_tool", "metrics_by_version"):
        found = queried(tmp_path, f"SELECT {columns} FROM {view}")
        assert found == [(100.0, 30_000.0)]


def test_an_infinite_price_is_refused(tmp_path: Path) -> None:
    prices = {"m@2026-01-01": {"input": math.inf, "output": 1.0}}
    with pytest.raises(ConfigError, match="a price that is not finite"):
        load({}, lake=str(tmp_path), model_prices=prices)


@pytest.mark.parametrize("prices", [{}, PRICES], ids=["without prices", "with prices"])
def test_costs_use_the_price_of_the_day_and_show_a_missing_one(
    tmp_path: Path, prices: dict[str, dict[str, float]]
) -> None:
    tokens: Row = {"input_tokens": 1_000_000, "output_tokens": 100_000}
    rows = [
        event_row(model="m", namespace="travel", **tokens),
        event_row(model="m", namespace="travel", cached_tokens=400_000, **tokens),
        event_row(model="m", namespace="travel", at_s=-86_400 * 10, **tokens),
        event_row(model="unknown", **tokens),
        call(namespace="travel"),
    ]
    summed(tmp_path, *rows)
    settings = load(
        {}, lake=str(tmp_path), namespace_teams={"travel": "sales"},
        namespace_projects={"travel": "booking"}, model_prices=prices,
    )  # fmt: skip
    query = """
    SELECT day, team, project, model, price, money
    FROM cost_by_namespace ORDER BY ALL NULLS LAST
    """
    with Lake(settings=settings) as lake:
        lake.sql("SET TimeZone = 'UTC'")
        found = lake.sql(query).fetchall()
    state = "known" if prices else "missing"
    day, earlier = date(2026, 11, 20), date(2026, 11, 10)
    assert found == [
        (earlier, "sales", "booking", "m", state, 2.0 if prices else None),
        # 1.6 million tokens of input, 0.4 of cache, 0.2 of output.
        (day, "sales", "booking", "m", state, 7.4 if prices else None),
        (day, "sales", "booking", None, None, None),
        (day, None, None, "unknown", "missing", None),
    ]


def test_the_leaderboard_has_costs_of_the_last_thirty_days(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    tokens: Row = {"model": "m", "input_tokens": 500_000, "output_tokens": 0}
    rows = [
        completion("success", credits_used=3.0),
        completion("failure", credits_used=1.0),
        event_row(**tokens),
        completion("success", agent="dear", model="unknown", input_tokens=1),
        event_row(agent="cheap"),
    ]
    recent = [row | {"ts": now} for row in rows]
    summed(tmp_path, *recent, completion("success") | {"ts": now - timedelta(days=40)})
    prices = {"m@2026-01-01": {"input": 4.0, "output": 8.0}}
    settings = load({}, lake=str(tmp_path), model_prices=prices)
    query = """
    SELECT agent, completions, successes, success_rate, credits_per_success, money,
        money_per_success
    FROM leaderboard ORDER BY agent
    """
    with Lake(settings=settings) as lake:
        found = lake.sql(query).fetchall()
    assert found == [
        ("booker", 2, 1, 0.5, 4.0, 2.0, 2.0),
        ("cheap", 0, 0, None, None, None, None),
        ("dear", 1, 1, 1.0, 0.0, None, None),
    ]


def test_tool_failures_tells_what_was_tried_next(tmp_path: Path) -> None:
    rows = [
        call(tool="a", status="error", error_type="E"),
        event_row(),
        call(tool="b"),
        call(tool="a", status="error", error_type="E"),
        call(tool="b", status="error"),
        call(tool="b", session="other"),
    ]
    now = datetime.now(UTC)
    old = call(tool="c", status="error") | {"ts": now - timedelta(days=31)}
    recent = [row | {"ts": now} for row in rows]
    append(tmp_path, "events", events_table(*recent, old))
    query = """
    SELECT tool, error_type, tool_failures, next_tool, helped
    FROM tool_failures ORDER BY ALL NULLS LAST
    """
    assert queried(tmp_path, query) == [
        ("a", "E", 2, "b", 1),
        ("b", None, 1, None, 0),
    ]


def test_sessions_now_shows_the_open_ones_with_their_last_step(tmp_path: Path) -> None:
    rows = [
        event_row(session="open", text="hello"),
        event_row("tool_call", session="open", at_s=1, text="search success"),
        event_row(session="closed"),
        event_row("completion", session="closed"),
    ]
    write(tmp_path, rows)
    query = "SELECT session_id, last_step, tool_calls, idle > INTERVAL 0 DAY "
    found = queried(tmp_path, query + "FROM sessions_now")
    assert [(row[0], row[2]) for row in found] == [("open", 1)]
    assert "search success" in found[0][1]


def refused(offset: int, at: datetime, **columns: Any) -> Row:
    return {
        "id": f"d-{offset}", "reason": "missing_field", "topic": "agent-events",
        "topic_id": "t", "kafka_partition": 0, "kafka_offset": offset, "kafka_ts": at,
        "agent": None, "raw": b"", "replay_of": None, "replay_origin": None,
        "attempt": 0, **columns,
    }  # fmt: skip


def test_refused_events_are_counted_per_agent_and_minute(tmp_path: Path) -> None:
    letters = [
        refused(0, NOW, agent="a"),
        refused(1, NOW + timedelta(seconds=59), agent="a"),
        refused(2, NOW + timedelta(seconds=60), agent="a"),
        refused(3, NOW, reason="invalid_json"),
        # A replay of the first one that was refused again.
        refused(4, NOW, agent="a", replay_of="d-0", replay_origin="t/0/0", attempt=1),
    ]
    resolved = {
        "dead_letter_id": "d-1", "origin": "t/0/1", "action": "resolved", "attempt": 0,
    }  # fmt: skip
    append(tmp_path, "dead_letters", pa.Table.from_pylist(letters))
    append(tmp_path, "dead_letter_actions", pa.Table.from_pylist([resolved]))
    query = """
    SELECT date_diff('minute', TIMESTAMPTZ '2026-11-20 12:00:00+00', minute), agent,
        reason, refused, unresolved
    FROM refused_events ORDER BY ALL NULLS LAST
    """
    assert queried(tmp_path, query) == [
        (0, "a", "missing_field", 2, 1),
        (0, None, "invalid_json", 1, 1),
        (1, "a", "missing_field", 1, 1),
    ]


def test_views_of_metrics_are_empty_in_a_new_lake(tmp_path: Path) -> None:
    for view in (
        "agent_metrics", "metrics_by_agent", "metrics_by_tool", "metrics_by_version",
        "cost_by_namespace", "leaderboard", "tool_failures", "sessions_now",
        "refused_events",
    ):  # fmt: skip
        assert queried(tmp_path, f"FROM {view}") == []
