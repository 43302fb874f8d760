"""Random rows of `events` for the flow `metrics`, and the sums that it must make."""

import functools
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import strategies as st

from schemas.arrow import EVENTS
from semloop.agent_metrics import COUNTED, KEYS, TOKENS
from tests.operators.event_rows import Row, event_row
from tests.support.builders import NOW

# The keys of which SQL computes the same values; buckets are compared as quantiles.
EXACT_KEYS = tuple(name for name in KEYS if name != "duration_bucket")
SUMS = ", ".join(
    [
        "count(*) AS events",
        *(
            f"count(*) FILTER ({column} = '{value}') AS {name}"
            for name, (column, value) in COUNTED.items()
        ),
        "sum(credits_used::DECIMAL(38,9)) AS credits_used",
        *(f"coalesce(sum({name}::DECIMAL(38,0)), 0) AS {name}" for name in TOKENS),
    ]
)
ORACLE = f"""
SELECT date_trunc('minute', ts) AS minute, {", ".join(EXACT_KEYS[1:])}, {SUMS}
FROM events GROUP BY ALL ORDER BY ALL
"""
STORED = f"""
SELECT {", ".join(EXACT_KEYS)},
    {", ".join(f"sum({name}) AS {name}" for name in ("events", *COUNTED))},
    {", ".join(f"sum({name}) AS {name}" for name in ("credits_used", *TOKENS))}
FROM found GROUP BY ALL ORDER BY ALL
"""
KINDS = ("message", "tool_call", "completion", "error", "feedback", "tool_start")
# Seconds after NOW: of the same minute, of others, and years off.
TIMES = (0.0, 0.25, 59.999999, 60.0, -86_400 * 3_650.0, 86_400 * 400.0)
# Tokens whose sum is more than 64 bits have.
MANY = (None, 0, 7, -3, 2**63 - 1, -(2**63))
CREDITS = (0.0, 0.1, 0.25, 1_000.000001, -2.5)


@st.composite
def event_rows(draw: st.DrawFn) -> Row:
    """A row with few different values, so that sums have several summands."""
    kind = draw(st.sampled_from(KINDS))
    columns: dict[str, Any] = {
        "agent": draw(st.sampled_from("ab")),
        "namespace": draw(st.sampled_from(["default", "é\x00"])),
        "user_id": draw(st.sampled_from([None, "u"])),
        "agent_version": draw(st.sampled_from([None, "1"])),
        "credits_used": draw(st.sampled_from(CREDITS)),
        "kafka_partition": draw(st.integers(0, 1)),
    }
    if kind == "tool_call":
        columns["tool"] = draw(st.sampled_from(["search", "book"]))
        columns["status"] = draw(st.sampled_from(["success", "error"]))
        columns["duration_ms"] = draw(
            st.sampled_from([None, 0.0, -1.0, 1.0, 12.5, 9e9])
        )
    if kind == "message":
        columns["model"] = draw(st.sampled_from([None, "m"]))
        columns |= {name: draw(st.sampled_from(MANY)) for name in TOKENS}
    if kind == "completion":
        columns["outcome"] = draw(st.sampled_from(["success", "partial", "failure"]))
    return event_row(kind, at_s=draw(st.sampled_from(TIMES)), **columns)


def stream(rows: Sequence[Row]) -> pa.Table:
    """Return rows as `events`, with consecutive offsets in each partition."""
    offsets = {0: 0, 1: 0}
    numbered = []
    for number, row in enumerate(rows):
        partition = row["kafka_partition"]
        at = NOW + timedelta(seconds=number)
        numbered.append(row | {"kafka_offset": offsets[partition], "kafka_ts": at})
        offsets[partition] += 1
    return pa.Table.from_pylist(numbered, EVENTS)


def expected(events: pa.Table) -> list[tuple[Any, ...]]:
    """Return one GROUP BY over the events."""
    return _rows(ORACLE, "events", events)


def found(sums: pa.Table) -> list[tuple[Any, ...]]:
    """Return the same from rows of `agent_metrics`."""
    return _rows(STORED, "found", sums)


@functools.cache
def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _rows(query: str, name: str, rows: pa.Table) -> list[tuple[Any, ...]]:
    _connection().register(name, rows)
    return _connection().execute(query).fetchall()
