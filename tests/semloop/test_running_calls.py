"""The view `running_calls`, queried through `Lake`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.operators.event_rows import Row, event_row, events_table
from tests.semloop.written_lake import append, queried


def test_it_shows_calls_that_have_not_ended(tmp_path: Path) -> None:
    now = datetime.now(UTC)

    def row(kind: str, span: str, age_s: float = 60, **fields: object) -> Row:
        at = now - timedelta(seconds=age_s)
        payload = {"tool": f"tool {span}", "status": "success", "running_ms": 10_000}
        row = event_row(kind, payload=payload, span_id=span)
        return row | {"ts": at, "ingested_at": at, "date": at.date()} | fields

    rows = [
        row("tool_start", "runs"),
        row("tool_start", "ended", 90),
        row("tool_call", "ended"),
        row("tool_start", "of another tenant"),
        row("tool_call", "of another tenant", namespace="other"),
        row("tool_start", "of a process killed long ago", 86_401),
        row("tool_call", "never reported"),
    ]
    append(tmp_path, "events", events_table(*rows))
    query = "SELECT tool, started_at FROM running_calls ORDER BY ALL"
    started_at = now - timedelta(seconds=70)
    assert queried(tmp_path, query) == [
        ("tool of another tenant", started_at), ("tool runs", started_at),
    ]  # fmt: skip
    columns = (
        "SELECT session_id, agent, span_id FROM running_calls WHERE span_id = 'runs'"
    )
    assert queried(tmp_path, columns) == [("s-1", "booker", "runs")]


def test_it_is_empty_in_a_new_lake(tmp_path: Path) -> None:
    assert queried(tmp_path, "FROM running_calls") == []
