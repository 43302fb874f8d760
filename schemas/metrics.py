"""Every metric we emit: its name, its meaning and what an operator should do.

Only metrics declared here can be emitted. Values are added per batch or commit, never
per record.
"""

from collections.abc import Callable, Mapping

from numpy.typing import ArrayLike
from prometheus_client import CollectorRegistry, Counter, Gauge

from schemas.delay_metrics import DELAYS
from schemas.distribution import Distribution
from schemas.fleet_metrics import FLEET
from schemas.lake_metrics import LAKE
from schemas.signs_of_life import SignsOfLife
from semloop.lake.query_metrics import QUERY_SECONDS
from semloop.metric_declaration import Kind, Metric

# From a commit to a local disk (milliseconds) to one that retries for the whole of
# `storage_retry_s` on an object store.
COMMIT_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# Values of a label that come from events, such as agents: each is a time series, and
# made-up names must not fill Prometheus. All further ones have the value `OTHER`.
VALUES_MAX = 100
OTHER, UNKNOWN = "(other)", "(unknown)"


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
        "semloop_embedding_backlog_events", "gauge", "events", ("flow", "partition"),
        "Events in the lake whose texts have no vectors yet: those of the poll that is "
        "being embedded, and those after it.",
        "Rising for minutes: add processes, or choose a faster embedder.",
    ),
    Metric(
        "semloop_open_episodes", "gauge", "episodes", ("flow",),
        "Episodes that are open in this process.",
        "At open_episodes_total: agents send no completions; old episodes close early.",
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
    *DELAYS,
    *FLEET,
    *LAKE,
)  # fmt: skip
# Of programs that open a `Lake` with their own registry.
OF_PROGRAMS = (QUERY_SECONDS,)

DECLARED: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}


class Metrics:
    """All declared metrics of flows in one registry; a new one unless given.

    Attributes:
        registry: the values, for the server of metrics.
        signs: the signs of life of this process, for the probes of the same server.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.signs = SignsOfLife()
        self._counters = {
            m.name: Counter(m.name, _text(m), m.labels, registry=self.registry)
            for m in _of("counter")
        }
        self._gauges = {
            m.name: Gauge(m.name, _text(m), m.labels, registry=self.registry)
            for m in _of("gauge")
        }
        self._histograms = {
            m.name: Distribution(m, _text(m), self.registry) for m in _of("histogram")
        }
        # Label -> its values that are shown as they are.
        self._values: dict[str, set[str]] = {}

    def add(self, name: str, amount: float = 1, **labels: str | int | None) -> None:
        """Add to a counter."""
        found = self._labels(_checked(name, "counter"), labels)
        self._counters[name].labels(**found).inc(amount)

    def set(self, name: str, value: float, **labels: str | int) -> None:
        """Set a gauge."""
        found = self._labels(_checked(name, "gauge"), labels)
        self._gauges[name].labels(**found).set(value)

    def follow(
        self, name: str, value: Callable[[], float], **labels: str | int
    ) -> None:
        """Make a gauge ask for its value whenever it is read, from another thread."""
        found = self._labels(_checked(name, "gauge"), labels)
        self._gauges[name].labels(**found).set_function(value)

    def observe(
        self,
        name: str,
        values: float | ArrayLike,
        weights: ArrayLike | None = None,
        **labels: str | int | None,
    ) -> None:
        """Add values to a histogram, each once or as often as its weight says."""
        metric = _checked(name, "histogram")
        found = self._labels(metric, labels)
        if missing := set(metric.labels) ^ found.keys():
            msg = f"The label {missing.pop()!r} of {name!r} is missing or not declared."
            raise ValueError(msg)
        numbers = [values] if isinstance(values, int | float) else values
        self._histograms[name].add(found, numbers, weights)

    def value(self, name: str, **labels: str | int) -> float:
        """Return the value of a counter or gauge; 0 if it was never set."""
        _declared(name)
        texts = {label: str(value) for label, value in labels.items()}
        return self.registry.get_sample_value(name, texts) or 0.0

    def _labels(
        self, metric: Metric, labels: Mapping[str, str | int | None]
    ) -> dict[str, str]:
        """Return labels as texts; of a bounded one, `OTHER` beyond `VALUES_MAX`."""
        found = {label: str(value) for label, value in labels.items()}
        if bounded := metric.bounded:
            value = str(labels[bounded] or UNKNOWN)
            shown = self._values.setdefault(bounded, set())
            if len(shown) < VALUES_MAX:
                shown.add(value)
            found[bounded] = value if value in shown else OTHER
        return found


def _text(metric: Metric) -> str:
    return f"{metric.meaning} {metric.action}"


def _of(kind: Kind) -> list[Metric]:
    return [metric for metric in METRICS if metric.kind == kind]


def _declared(name: str) -> Metric:
    if name not in DECLARED:
        msg = f"The metric {name!r} is not declared in schemas/metrics.py."
        raise LookupError(msg)
    return DECLARED[name]


def _checked(name: str, kind: Kind) -> Metric:
    metric = _declared(name)
    if metric.kind != kind:
        msg = f"The metric {name!r} is a {metric.kind}, not a {kind}."
        raise TypeError(msg)
    return metric
