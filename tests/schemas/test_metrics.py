import re
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from schemas.metrics import (
    DECLARED,
    METRICS,
    OF_PROGRAMS,
    OTHER,
    VALUES_MAX,
    Metrics,
)
from tests.support.processes import ROOT


def test_each_metric_is_declared_once_with_meaning_and_action() -> None:
    assert len(DECLARED) == len(METRICS)
    for metric in METRICS:
        assert metric.name.startswith("semloop_")
        assert metric.meaning.endswith("."), metric.name
        assert metric.action.endswith("."), metric.name
        assert "flow" in metric.labels
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert bool(metric.buckets) == (metric.kind == "histogram")


def test_every_declared_metric_is_exposed() -> None:
    metrics = Metrics(CollectorRegistry())
    for metric in METRICS:
        labels: dict[str, Any] = dict.fromkeys(metric.labels, "x")
        match metric.kind:
            case "counter":
                metrics.add(metric.name, **labels)
            case "gauge":
                metrics.set(metric.name, 1, **labels)
            case "histogram":
                metrics.observe(metric.name, 0.2, **labels)
    page = generate_latest(metrics.registry).decode()
    for metric in METRICS:
        assert f"# TYPE {metric.name} {metric.kind}" in page
        assert metric.meaning in page


def test_registries_do_not_share_values() -> None:
    first, second = Metrics(), Metrics()
    first.add("semloop_events_total", 3, flow="archive")
    first.set("semloop_lag_records", 7, flow="archive", partition=0)
    assert first.value("semloop_events_total", flow="archive") == 3
    assert first.value("semloop_lag_records", flow="archive", partition=0) == 7
    assert second.value("semloop_events_total", flow="archive") == 0


def test_an_undeclared_metric_raises() -> None:
    with pytest.raises(LookupError, match="'semloop_evnts_total' is not declared"):
        Metrics().add("semloop_evnts_total", flow="archive")
    with pytest.raises(LookupError, match="is not declared"):
        Metrics().value("semloop_evnts_total", flow="archive")


def test_using_a_metric_as_another_kind_raises() -> None:
    with pytest.raises(TypeError, match="is a counter, not a gauge"):
        Metrics().set("semloop_events_total", 1, flow="archive")


def test_an_undeclared_label_raises() -> None:
    with pytest.raises(ValueError, match="label"):
        Metrics().add("semloop_events_total", agent="a")


def test_values_of_events_are_bounded_and_the_rest_is_added_up() -> None:
    metrics = Metrics()
    for agent in range(2 * VALUES_MAX):
        metrics.add("semloop_agent_events_total", flow="metrics", agent=f"a{agent}")
    metrics.add("semloop_agent_events_total", flow="metrics", agent=None)
    found = {
        sample.labels["agent"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "semloop_agent_events_total"
    }
    assert len(found) == VALUES_MAX + 1
    assert found[OTHER] == VALUES_MAX + 1
    assert sum(found.values()) == 2 * VALUES_MAX + 1


def test_a_histogram_counts_a_batch_up_to_each_bound_included() -> None:
    metrics = Metrics()
    labels = {"flow": "archive"}
    metrics.observe("semloop_queryable_seconds", [0.1, 0.25, 0.3, 1e9], **labels)
    metrics.observe("semloop_queryable_seconds", [0.1], [4], **labels)

    def sample(name: str, **more: str) -> float | None:
        full = f"semloop_queryable_seconds_{name}"
        return metrics.registry.get_sample_value(full, labels | more)

    assert sample("bucket", le="0.25") == 6
    assert sample("bucket", le="0.5") == 7
    assert sample("bucket", le="+Inf") == sample("count") == 8
    assert sample("sum") == pytest.approx(0.65 + 0.4 + 1e9)


def test_every_declared_metric_is_emitted_somewhere() -> None:
    names = {
        name
        for folder in ("semloop", "schemas", "sources", "operators", "sinks", "flows")
        for file in (ROOT / folder).rglob("*.py")
        if file.parent != ROOT / "schemas"
        for name in re.findall(r'"(semloop_[a-z_]+)"', file.read_text())
    }
    declared = {metric.name for metric in (*METRICS, *OF_PROGRAMS)}
    assert declared - names == set()
