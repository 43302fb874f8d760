"""Every metric we emit: its name, what it means and what an operator does about it.

A metric is declared here once; one that is not declared cannot be emitted. Numbers are
added per batch or commit, never per record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Kind = Literal["counter", "gauge", "histogram"]
Collector = TypeVar("Collector", Counter, Gauge, Histogram)

# From a commit to a local disk (milliseconds) to one that an object store keeps waiting
# for the whole of `storage_retry_s`.
COMMIT_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """The declaration of one metric."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    meaning: str
    action: str
    buckets: tuple[float, ...] = ()


METRICS: tuple[Metric, ...] = (
    Metric(
        "semloop_events_total", "counter", "events", ("flow",),
        "Events committed to `events`.",
        "Flat while producers are busy: look at lag and at the flow's last log lines.",
    ),
    Metric(
        "semloop_duplicates_total", "counter", "records", ("flow",),
        "Records dropped because their event id was there already.",
        "A producer sends again: harmless. Steady growth: it lacks idempotence.",
    ),
    Metric(
        "semloop_dead_letters_total", "counter", "records", ("flow", "reason"),
        "Records that could not become events, committed to `dead_letters`.",
        "Ask `dead_letters` for the reason and the agent; repair the producer, replay.",
    ),
    Metric(
        "semloop_misrouted_total", "counter", "records", ("flow",),
        "Events whose Kafka key is not their session: accepted, perhaps out of order.",
        "Let the producer set key = meta.session_id and partitioner murmur2_random.",
    ),
    Metric(
        "semloop_skipped_total", "counter", "records", ("flow",),
        "Tombstones and records with an empty value: read past, stored nowhere.",
        "None expected: some program writes them to the topic; find it by its key.",
    ),
    Metric(
        "semloop_commits_total", "counter", "commits", ("flow", "table"),
        "Commits that the table's log took.",
        "Far over one a second: raise commit_interval_s, small files make reads slow.",
    ),
    Metric(
        "semloop_commit_seconds", "histogram", "seconds", ("flow", "table"),
        "Duration of one commit, retries included.",
        "Rising over hours: compaction does not run. Sudden: the store is slow.",
        COMMIT_SECONDS,
    ),
    Metric(
        "semloop_commit_retries_total", "counter", "retries",
        ("flow", "table", "cause"),
        "Commits tried again, by cause: contention, a rewritten table, storage.",
        "Contention that stays: two maintainers or writers. Storage: ask the store.",
    ),
    Metric(
        "semloop_lag_records", "gauge", "records", ("flow", "partition"),
        "Offsets between the last committed one and the partition's last known end.",
        "Rising for minutes: more processes, up to one a partition, or a faster store.",
    ),
    Metric(
        "semloop_freshness_seconds", "gauge", "seconds", ("flow",),
        "Of the newest commit with records: from Kafka's timestamp of its oldest one "
        "to the end of the commit, so the longest that one of them waited to be seen. "
        "It stays as it is while nothing arrives; lag says whether anything waits.",
        "Over 10 s without lag: look at commit seconds, or producers' clocks differ.",
    ),
    Metric(
        "semloop_dedupe_window_ids", "gauge", "ids", ("flow", "partition"),
        "Event ids that are remembered to drop repeated ones.",
        "At dedupe_ids: the window is cut by number, see its seconds.",
    ),
    Metric(
        "semloop_dedupe_window_seconds", "gauge", "seconds", ("flow", "partition"),
        "How far back the remembered ids reach: Kafka's timestamp, newest less oldest.",
        "Shorter than producers may repeat after: raise dedupe_ids.",
    ),
    Metric(
        "semloop_embedded_texts_total", "counter", "texts", ("flow",),
        "Texts that the embedder made vectors of.",
        "Flat while memories lag: the embedder hangs; look at the last log lines.",
    ),
    Metric(
        "semloop_embed_cache_hits_total", "counter", "texts", ("flow",),
        "Texts whose vector was remembered, or wanted twice at a time.",
        "Few while texts repeat: raise embed_cache_texts.",
    ),
    Metric(
        "semloop_embed_cache_evictions_total", "counter", "texts", ("flow",),
        "Vectors forgotten because the cache was full.",
        "As fast as texts come, with few hits: texts do not repeat, lower the setting.",
    ),
    Metric(
        "semloop_memories_total", "counter", "memories", ("flow",),
        "Memories committed.",
        "Flat while events come: look at lag, and at the flow's last log lines.",
    ),
    Metric(
        "semloop_episodes_total", "counter", "episodes", ("flow",),
        "Episodes that closed.",
        "Flat while sessions end: agents send no completion and archive stands still.",
    ),
    Metric(
        "semloop_not_remembered_total", "counter", "texts", ("flow", "reason"),
        "Texts that became no memory: by policy (kind, importance, sample), empty, or "
        "without a vector (nan, dimension, zero, timeout, refused).",
        "Without a vector: ask the endpoint's log. Dimension: its model is another.",
    ),
    Metric(
        "semloop_last_offset", "gauge", "offset", ("flow", "partition"),
        "Last offset read past whose commit succeeded: where a restart goes on.",
        "Standing still while lag rises: the flow hangs; restart it, nothing is lost.",
    ),
)  # fmt: skip

DECLARED: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}


class Metrics:
    """All declared metrics in one registry; a fresh one unless it is given."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._counters = {m.name: self._made(m, Counter) for m in _of("counter")}
        self._gauges = {m.name: self._made(m, Gauge) for m in _of("gauge")}
        self._histograms = {
            m.name: self._made(m, Histogram, buckets=m.buckets)
            for m in _of("histogram")
        }

    def add(self, name: str, amount: float = 1, **labels: str | int) -> None:
        """Add to a counter."""
        _check(name, "counter")
        self._counters[name].labels(**labels).inc(amount)

    def set(self, name: str, value: float, **labels: str | int) -> None:
        """Set a gauge."""
        _check(name, "gauge")
        self._gauges[name].labels(**labels).set(value)

    def observe(self, name: str, value: float, **labels: str | int) -> None:
        """Put a value into a histogram."""
        _check(name, "histogram")
        self._histograms[name].labels(**labels).observe(value)

    def value(self, name: str, **labels: str | int) -> float:
        """What a counter or gauge stands at; 0 if it was never touched."""
        _declared(name)
        texts = {label: str(value) for label, value in labels.items()}
        return self.registry.get_sample_value(name, texts) or 0.0

    def _made(self, metric: Metric, kind: type[Collector], **more: Any) -> Collector:
        text = f"{metric.meaning} {metric.action}"
        return kind(metric.name, text, metric.labels, registry=self.registry, **more)


def _of(kind: Kind) -> list[Metric]:
    return [metric for metric in METRICS if metric.kind == kind]


def _declared(name: str) -> Metric:
    if name not in DECLARED:
        msg = f"The metric {name!r} is not declared in schemas/metrics.py."
        raise LookupError(msg)
    return DECLARED[name]


def _check(name: str, kind: Kind) -> None:
    if _declared(name).kind != kind:
        msg = f"The metric {name!r} is a {DECLARED[name].kind}, not a {kind}."
        raise TypeError(msg)
