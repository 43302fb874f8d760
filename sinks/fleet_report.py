"""Metrics of agents, tools and costs, of the sums of a commit of the flow `metrics`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.metrics import Metrics
from semloop.agent_metrics import GAMMA
from semloop.flow_registry import METRICS

FLOW = METRICS.name
# Older minutes are those of imported history, or of a lake that is counted from its
# first event: they would look like a spike of now.
RECENT_S = 86_400
OUTCOMES = {"successes": "success", "partials": "partial", "failures": "failure"}
TOKENS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cached_tokens": "cached",
    "reasoning_tokens": "reasoning",
}


def report_fleet(metrics: Metrics, rows: pa.Table, now_s: float) -> None:
    """Add the sums of a commit to the metrics; nothing is emitted per row.

    Args:
        metrics: registry to update.
        rows: the rows of `agent_metrics` that were committed.
        now_s: wall clock, seconds.
    """
    minutes = rows["minute"].cast(pa.int64())
    recent = rows.filter(pc.greater(minutes, int((now_s - RECENT_S) * 1e6)))
    if not recent.num_rows:
        return
    by_agent = ("events", "errors", *OUTCOMES)
    for agent, sums in _sums(recent, "agent", by_agent):
        _add(metrics, "semloop_agent_events_total", sums["events"], agent=agent)
        _add(metrics, "semloop_agent_errors_total", sums["errors"], agent=agent)
        for column, outcome in OUTCOMES.items():
            name = "semloop_agent_completions_total"
            _add(metrics, name, sums[column], agent=agent, outcome=outcome)
    called = recent.filter(pc.is_valid(recent["tool"]))
    for tool, sums in _sums(called, "tool", ("tool_calls", "tool_failures")):
        _add(metrics, "semloop_tool_calls_total", sums["tool_calls"], tool=tool)
        _add(metrics, "semloop_tool_failures_total", sums["tool_failures"], tool=tool)
    _report_durations(metrics, called)
    for namespace, sums in _sums(recent, "namespace", ("credits_used",)):
        spent = sums["credits_used"]
        _add(metrics, "semloop_credits_total", spent, namespace=namespace)
    for model, sums in _sums(recent, "model", tuple(TOKENS)):
        for column, kind in TOKENS.items():
            _add(metrics, "semloop_tokens_total", sums[column], model=model, kind=kind)


def _add(metrics: Metrics, name: str, amount: float, **labels: str | None) -> None:
    # Credits may be negative, for a refund; a counter only grows.
    if amount > 0:
        metrics.add(name, amount, flow=FLOW, **labels)


def _sums(
    rows: pa.Table, key: str, columns: Sequence[str]
) -> Iterator[tuple[str | None, Mapping[str, float]]]:
    """Yield each value of a column, with the sums of other columns."""
    numbers = {name: rows[name].cast(pa.float64()) for name in columns}
    grouped = pa.table({key: rows[key], **numbers}).group_by(key)
    found: list[dict[str, Any]] = grouped.aggregate(
        [(name, "sum") for name in columns]
    ).to_pylist()
    for row in found:
        yield row[key], {name: row[f"{name}_sum"] or 0.0 for name in columns}


def _report_durations(metrics: Metrics, called: pa.Table) -> None:
    timed = called.filter(pc.is_valid(called["duration_bucket"]))
    columns = {name: timed[name] for name in ("tool", "duration_bucket", "tool_calls")}
    grouped = pa.table(columns).group_by(["tool", "duration_bucket"])
    counts = grouped.aggregate([("tool_calls", "sum")])
    for tool in counts["tool"].unique().to_pylist():
        own = counts.filter(pc.equal(counts["tool"], tool))
        # What is shown for a bucket: semloop/agent_metrics.py.
        powers = np.power(GAMMA, own["duration_bucket"].to_numpy().astype(np.float64))
        seconds = 2 * powers / (GAMMA + 1) / 1e3
        metrics.observe(
            "semloop_tool_seconds", seconds, own["tool_calls_sum"].to_numpy(),
            flow=FLOW, tool=tool,
        )  # fmt: skip
