from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from schemas.metrics import DECLARED, METRICS, Metrics


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
