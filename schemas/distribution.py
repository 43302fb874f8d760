"""A histogram of Prometheus to which a whole batch of values is added in one call."""

import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from semloop.metric_declaration import Metric


class Distribution(Collector):
    """A histogram by labels; safe in threads.

    The one of prometheus_client takes one value a call, which for each event would
    cost more than the rest of a commit.
    """

    def __init__(self, metric: Metric, text: str, registry: CollectorRegistry) -> None:
        """Add an empty histogram to a registry.

        Args:
            metric: its name, labels and buckets.
            text: its description.
            registry: shows it.
        """
        self._metric = metric
        self._text = text
        self._bounds = np.asarray(metric.buckets)
        self._lock = threading.Lock()
        # Values of the labels -> counts by bucket, the last one without a bound; sum.
        self._found: dict[tuple[str, ...], tuple[NDArray[np.float64], float]] = {}
        registry.register(self)

    def add(
        self, labels: dict[str, str], values: ArrayLike, weights: ArrayLike | None
    ) -> None:
        """Add values, each once or as often as its weight says."""
        key = tuple(labels[name] for name in self._metric.labels)
        numbers = np.asarray(values, np.float64)
        times = np.ones(len(numbers)) if weights is None else np.asarray(weights)
        places = np.searchsorted(self._bounds, numbers, side="left")
        size = len(self._bounds) + 1
        counts = np.bincount(places, times, size).astype(np.float64)
        with self._lock:
            before, total = self._found.get(key, (np.zeros(size), 0.0))
            self._found[key] = (before + counts, total + float(numbers @ times))

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Yield the name, by which the registry refuses a second one."""
        yield self._family()

    @override
    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = self._family()
        with self._lock:
            found = dict(self._found)
        texts = [*map(str, self._metric.buckets), "+Inf"]
        for key, (counts, total) in found.items():
            up_to = np.cumsum(counts).tolist()
            family.add_metric(key, list(zip(texts, up_to, strict=True)), total)
        yield family

    def _family(self) -> HistogramMetricFamily:
        name, labels = self._metric.name, self._metric.labels
        return HistogramMetricFamily(name, self._text, labels=labels)
