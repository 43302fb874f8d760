"""What the source and the sink of one worker of `archive` share."""

from collections.abc import Iterable, Mapping, Set

from flows.guard import ends_process
from operators.dedupe import Window, refill
from schemas.metrics import Metrics
from semloop import layout
from semloop.delta.streams import StreamId
from semloop.errors import StorageUnavailable
from semloop.kafka.topic import TopicAdmin
from semloop.retry import retry
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.archive_tables import FLOW, ArchiveTables
from sources.kafka.broker_watch import BrokerWatch
from sources.kafka.source import KafkaReader, owned_partitions


class Workers:
    """What the source and the sink of one worker share: tables, reader, windows.

    The source opens it, since positions are only known after the tables were taken
    over; partitions belong to one worker, so their windows need no lock.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        metrics: Metrics,
        *,
        new_log: bool,
        accept_gap: bool,
    ) -> None:
        self.windows: dict[int, Window] = {}
        self._settings = settings
        self._storage = storage
        self._metrics = metrics
        self._new_log = new_log
        self._accept_gap = accept_gap
        self._tables: dict[int, ArchiveTables] = {}

    def tables_of(self, worker_index: int) -> ArchiveTables:
        """The tables that a worker took over; its source has opened them by then."""
        return self._tables[worker_index]

    @property
    def settled(self) -> Set[tuple[int, int]]:
        """Records whose dead letter a crash left beyond the resume point."""
        return {origin for t in self._tables.values() for origin in t.settled}

    @ends_process
    def open_reader(self, worker_index: int, worker_count: int) -> KafkaReader:
        """Take the tables over, then read behind the offsets that they hold."""
        settings = self._settings
        broker = BrokerWatch(TopicAdmin(settings), settings)
        topic = broker.describe()
        retry(
            lambda: layout.bind(self._storage),
            on=StorageUnavailable,
            seconds=settings.storage_retry_s,
        )
        readers: list[KafkaReader] = []

        def committed(offsets: Mapping[int, int]) -> None:
            readers[0].commit_group(offsets)
            self._report_windows(offsets)

        tables = ArchiveTables(
            settings,
            self._storage,
            StreamId(FLOW, topic.cluster_id, topic.name, topic.topic_id),
            owned_partitions(topic.partitions, worker_index, worker_count),
            self._metrics,
            same_topic=lambda: broker.still(topic),
            committed=committed,
        )
        offsets = tables.take_over(new_log=self._new_log)
        for partition, (ids, ms) in tables.recent_ids().items():
            window = Window(settings.dedupe_ids, int(settings.dedupe_hours * 3_600_000))
            refill(window, ids, ms)
            self.windows[partition] = window
        self._tables[worker_index] = tables
        reader = KafkaReader(
            settings,
            topic,
            offsets,
            f"semloop-{FLOW}",
            accept_gap=self._accept_gap,
            same_topic=lambda: broker.still(topic),
        )
        readers.append(reader)
        return reader

    def _report_windows(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            window = self.windows[partition]
            labels: dict[str, str | int] = {"flow": FLOW, "partition": partition}
            self._metrics.set("semloop_dedupe_window_ids", len(window.seen), **labels)
            self._metrics.set(
                "semloop_dedupe_window_seconds", window.span_ms() / 1000, **labels
            )
