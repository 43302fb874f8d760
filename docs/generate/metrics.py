"""The page of the metrics, from `schemas/metrics.py`."""

from docs.generate.markdown import table
from schemas.metrics import METRICS

INTRODUCTION = """# Metrics

Flows serve these for Prometheus on `SEMLOOP_METRICS_PORT`. Source:
`schemas/metrics.py`.

"""


def page() -> str:
    """Return the page."""
    rows = [
        (
            f"`{metric.name}`", metric.kind, metric.unit,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.meaning, metric.action,
        )
        for metric in METRICS
    ]  # fmt: skip
    header = ("metric", "kind", "unit", "labels", "meaning", "action")
    return INTRODUCTION + table(header, rows)
