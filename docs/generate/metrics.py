"""The page of the metrics, from `schemas/metrics.py`."""

from docs.generate.markdown import table
from schemas.metrics import METRICS, OF_PROGRAMS, OTHER, UNKNOWN, VALUES_MAX
from semloop.metric_declaration import Metric

INTRODUCTION = """# Metrics

Flows serve these for Prometheus on `SEMLOOP_METRICS_PORT`; flows of `semloop up` use
one port each, from this one. Values change with each batch or commit, or when read. Of
`agent`, `tool`, `model` and `namespace`, whose values come from events, a process shows
the first """
BOUNDS = f"""{VALUES_MAX} values, and adds up all others as `{OTHER}`; those without
a value are `{UNKNOWN}`. Sources: `schemas/metrics.py` and the files that it imports.

"""
PROGRAMS = """

## Programs that query

A program that opens a lake with `Lake(metrics=REGISTRY)` has these in its own registry
of prometheus-client. Without a registry nothing is measured.

"""


def page() -> str:
    """Return the page."""
    flows, programs = _table(METRICS), _table(OF_PROGRAMS)
    return INTRODUCTION + BOUNDS + flows.rstrip() + PROGRAMS + programs


def _table(metrics: tuple[Metric, ...]) -> str:
    rows = [
        (
            f"`{metric.name}`", metric.kind, metric.unit,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.meaning, metric.action,
        )
        for metric in metrics
    ]  # fmt: skip
    header = ("metric", "kind", "unit", "labels", "meaning", "action")
    return table(header, rows)
