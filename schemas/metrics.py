"""Every metric we emit: its name, its meaning and what an operator should do.

Only metrics declared here can be emitted. Values are added per batch or commit, never
per record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.signs_of_life import SignsOfLife

Kind = Literal["counter", "gauge", "histogram"]
Collector = TypeVar("Collector", Counter, Gauge, Histogram)

# From a commit to a local disk (milliseconds) to one that retries for the whole of
# `storage_retry_s` on an object store.
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
        "Flat while producers are busy: check lag and the flow's last log lines.",
    ),
    Metric(
        "semloop_duplicates_total", "counter", "records", ("flow",),
        "Records dropped because their event id was already stored.",
        "A producer retries: harmless. Steady growth: it is not idempotent.",
    ),
    Metric(
        "semloop_dead_letters_total", "counter", "records", ("flow", "reason"),
        "Records that could not become events, committed to `dead_letters`.",
        "Query `dead_letters` for reason and agent; fix the producer, send them again.",
    ),
    Metric(
        "semloop_artifacts_total", "counter", "artifacts", ("flow",),
        "Values of records over `event_bytes_max`, stored as objects in `artifacts/`.",
        "Steady growth: the lake's artifacts take space; send less, or elsewhere.",
    ),
    Metric(
        "semloop_misrouted_total", "counter", "records", ("flow",),
        "Events whose Kafka key is not their session: accepted, maybe out of order.",
        "Set the producer's key to meta.session_id, partitioner to murmur2_random.",
    ),
    Metric(
        "semloop_repeated_total", "counter", "records", ("flow",),
        "Events whose id another partition has, too: stored again.",
        "Send with the session as key, or set `dedupe` to `lake`.",
    ),
    Metric(
        "semloop_absurd_kafka_times_total", "counter", "records", ("flow",),
        "Records whose Kafka timestamp is absent, before 2000-01-01 or over a day "
        "ahead: replaced by the time of arrival.",
        "Zero expected: a producer sets it in another unit than milliseconds.",
    ),
    Metric(
        "semloop_skipped_total", "counter", "records", ("flow",),
        "Tombstones and records with an empty value: skipped, not stored.",
        "Zero expected: a program writes them to the topic; identify it by the key.",
    ),
    Metric(
        "semloop_commits_total", "counter", "commits", ("flow", "table"),
        "Commits that the table's log accepted.",
        "Far over one per second: raise commit_interval_s; small files slow reads.",
    ),
    Metric(
        "semloop_commit_seconds", "histogram", "seconds", ("flow", "table"),
        "Duration of one commit, retries included.",
        "Rising over hours: too many small files. Sudden rise: the store is slow.",
        COMMIT_SECONDS,
    ),
    Metric(
        "semloop_commit_retries_total", "counter", "retries",
        ("flow", "table", "cause"),
        "Commit retries, by cause: contention, a rewritten table, storage.",
        "Lasting contention: two maintainers or writers. Storage: check the store.",
    ),
    Metric(
        "semloop_lag_records", "gauge", "records", ("flow", "partition"),
        "Offsets between the last committed one and the partition's last known end.",
        "Rising for minutes: add processes, up to one per partition; check the store.",
    ),
    Metric(
        "semloop_freshness_seconds", "gauge", "seconds", ("flow",),
        "Longest delay of a record in the newest commit with records: from Kafka's "
        "timestamp of its oldest record to the end of the commit. Unchanged while no "
        "records arrive; lag shows whether records are waiting.",
        "Over 10 s without lag: check commit seconds and the producers' clocks.",
    ),
    Metric(
        "semloop_dedupe_window_ids", "gauge", "ids", ("flow", "partition"),
        "Event ids in the dedupe window.",
        "At dedupe_ids: the count limits the window; check its seconds.",
    ),
    Metric(
        "semloop_dedupe_window_seconds", "gauge", "seconds", ("flow", "partition"),
        "Time between the arrivals of the oldest and the newest ids of the window.",
        "Shorter than producers may retry: raise dedupe_ids.",
    ),
    Metric(
        "semloop_embedded_texts_total", "counter", "texts", ("flow",),
        "Texts embedded.",
        "Flat while memories lag: the embedder hangs; check the last log lines.",
    ),
    Metric(
        "semloop_embed_cache_hits_total", "counter", "texts", ("flow",),
        "Texts whose vector was cached, or computed for the same text in the batch.",
        "Low while texts repeat: raise embed_cache_texts.",
    ),
    Metric(
        "semloop_embed_cache_evictions_total", "counter", "texts", ("flow",),
        "Vectors evicted because the cache was full.",
        "As many as texts, with few hits: texts do not repeat; lower the setting.",
    ),
    Metric(
        "semloop_memories_total", "counter", "memories", ("flow",),
        "Memories committed.",
        "Flat while events arrive: check lag and the flow's last log lines.",
    ),
    Metric(
        "semloop_episodes_total", "counter", "episodes", ("flow",),
        "Episodes closed.",
        "Flat while sessions end: agents send no completion and archive has stalled.",
    ),
    Metric(
        "semloop_episodes_closed_early_total", "counter", "episodes", ("flow",),
        "Episodes closed for lack of events although their session continued.",
        "A producer holds records for longer than delivery_max_s: raise the setting. "
        "Or hosts of one session, or successive hosts of archive, differ in time.",
    ),
    Metric(
        "semloop_summed_events_total", "counter", "events", ("flow",),
        "Events that are in the sums of `agent_metrics`.",
        "Flat while events arrive: check lag and the flow's last log lines.",
    ),
    Metric(
        "semloop_not_remembered_total", "counter", "texts", ("flow", "reason"),
        "Texts that became no memory: by policy (kind, importance, sample), expired, "
        "empty, or without a vector (nan, dimension, zero, timeout, refused).",
        "Without a vector: check the endpoint's log. Dimension: its model differs.",
    ),
    Metric(
        "semloop_last_offset", "gauge", "offset", ("flow", "partition"),
        "Last offset read past whose commit succeeded: a restart resumes after it.",
        "Unchanged while lag rises: the flow hangs; restart it, no data is lost.",
    ),
    Metric(
        "semloop_published_total", "counter", "messages", ("flow", "topic"),
        "Messages passed to the topics of the setting `publish`, repeated ones too.",
        "Flat while events arrive: check the failures, and the flow's last warning.",
    ),
    Metric(
        "semloop_publish_failures_total", "counter", "attempts", ("flow",),
        "Attempts to produce to these topics that failed; the flow tries again.",
        "Growing: make the topics (`semloop doctor --fix`), grant Describe and Write.",
    ),
    Metric(
        "semloop_not_published_total", "counter", "messages", ("flow", "topic"),
        "Messages that were not produced because they were about more than a day ago.",
        "After an import: harmless. After an outage: subscribers must ask the lake.",
    ),
)  # fmt: skip

DECLARED: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}


class Metrics:
    """All declared metrics in one registry; a new one unless given.

    Attributes:
        registry: the values, for the server of metrics.
        signs: the signs of life of this process, for the probes of the same server.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.signs = SignsOfLife()
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
        """Add a value to a histogram."""
        _check(name, "histogram")
        self._histograms[name].labels(**labels).observe(value)

    def value(self, name: str, **labels: str | int) -> float:
        """Return the value of a counter or gauge; 0 if it was never set."""
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
