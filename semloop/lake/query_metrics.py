"""How long the queries of a process take, for the Prometheus registry of the process.

Nothing is measured unless a program passes its registry to `Lake`.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from semloop.errors import MissingExtra
from semloop.extras import install_todo
from semloop.metric_declaration import Metric

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Histogram

R = TypeVar("R")
QUERY_SECONDS = Metric(
    "semloop_query_seconds", "histogram", "seconds", ("kind",),
    "Duration of the queries of a `Lake` that was opened with a registry: sql, with "
    "its whole result, and recall.",
    "Rising over days: compact the tables. One query: look at its plan.",
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)  # fmt: skip
# A registry refuses a second metric of the same name; lakes of a process share it.
_histograms: "WeakKeyDictionary[CollectorRegistry, Histogram]" = WeakKeyDictionary()


class QueryTimes:
    """Measures queries, if there is a registry."""

    def __init__(self, registry: "CollectorRegistry | None") -> None:
        """Add the metric to the registry.

        Raises:
            MissingExtra: prometheus_client is not installed.
        """
        self._histogram = None if registry is None else _histogram_of(registry)

    @property
    def measures(self) -> bool:
        """True if there is a registry."""
        return self._histogram is not None

    def timed(self, kind: str, query: Callable[[], R]) -> R:
        """Return the result of a query; one that fails counts, too."""
        if self._histogram is None:
            return query()
        started_s = time.perf_counter()
        try:
            return query()
        finally:
            seconds = time.perf_counter() - started_s
            self._histogram.labels(kind=kind).observe(seconds)


def _histogram_of(registry: "CollectorRegistry") -> "Histogram":
    try:
        from prometheus_client import Histogram
    except ImportError:
        msg = "Metrics of queries need the package prometheus-client."
        raise MissingExtra(msg, install_todo("flows")) from None
    if registry not in _histograms:
        metric = QUERY_SECONDS
        _histograms[registry] = Histogram(
            metric.name, f"{metric.meaning} {metric.action}", metric.labels,
            registry=registry, buckets=metric.buckets,
        )  # fmt: skip
    return _histograms[registry]
