"""How many events a core adds up, and how much memory that takes with many agents.

    just bench-metrics

Prints rows per second of processor time of the operator for few and for many agents
and tools, and the resident memory after the last of 100 polls.
"""

import resource
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from operators.metrics.sums import sums
from schemas.arrow import EVENTS

ROWS, POLLS = 10_000, 100
STARTED_AT = datetime(2026, 11, 20, tzinfo=UTC)


def poll(rng: np.random.Generator, number: int, agents: int, tools: int) -> pa.Table:
    """Return rows of `events`: half of them tool calls, the others messages."""
    is_call = rng.random(ROWS) < 0.5
    names = {
        "agent": np.char.add("agent-", rng.integers(0, agents, ROWS).astype(str)),
        "tool": np.char.add("tool-", rng.integers(0, tools, ROWS).astype(str)),
    }
    at = STARTED_AT + timedelta(seconds=10 * number)
    columns = {
        "type": np.where(is_call, "tool_call", "message"),
        "ts": [at + timedelta(milliseconds=n) for n in range(ROWS)],
        "agent": names["agent"],
        "namespace": ["default"] * ROWS,
        "status": pa.array(["success"] * ROWS, mask=~is_call),
        "tool": pa.array(names["tool"], pa.string(), mask=~is_call),
        "duration_ms": pa.array(rng.lognormal(4, 1, ROWS), mask=~is_call),
        "credits_used": rng.random(ROWS).round(4),
        "input_tokens": pa.array(rng.integers(0, 9_999, ROWS), mask=is_call),
        "output_tokens": pa.array(rng.integers(0, 999, ROWS), mask=is_call),
        "topic": ["agent-events"] * ROWS,
        "topic_id": ["topic-1"] * ROWS,
        "kafka_partition": np.zeros(ROWS, np.int32),
        "kafka_offset": np.arange(ROWS) + number * ROWS,
        "kafka_ts": [at] * ROWS,
    }
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(ROWS, field.type)
        for field in EVENTS
    ]
    return pa.table(arrays, schema=EVENTS)


def main() -> None:
    """Print the figures."""
    rng = np.random.default_rng(1)
    for agents, tools in ((100, 20), (100_000, 10_000)):
        seconds, rows = 0.0, 0
        for number in range(POLLS):
            events = poll(rng, number, agents, tools)
            started_s = time.process_time()
            rows += sums(events).num_rows
            seconds += time.process_time() - started_s
        rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        speed = POLLS * ROWS / seconds / 1e6
        print(
            f"{agents:>7,} agents, {tools:>6,} tools: {speed:.2f} million events per"
            f" second, {rows / POLLS:,.0f} rows of {ROWS:,} events, {rss_mib:.0f} MiB"
        )


if __name__ == "__main__":
    main()
