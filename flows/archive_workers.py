"""State shared by the source, the steps and the sink of each worker of `archive`."""

import time
from collections.abc import Set

from flows.noted_reader import NotedReader
from operators.dedupe import DedupeWindow, refill
from operators.redaction.redactor import redactor_of
from schemas.batches import Decoded, Polled
from schemas.committed import CommittedOffsets
from semloop import layout
from semloop.delta.streams import StreamId
from semloop.errors import ConfigError, StorageUnavailable
from semloop.flow_registry import ARCHIVE
from semloop.kafka.topic import TopicAdmin
from semloop.redaction.redactor import Redactor
from semloop.retry import retry
from semloop.storage.redaction_key import writer_key
from sinks.activity_file import ActivityFile
from sinks.archive_tables import FLOW, ArchiveTables
from sinks.commit_loop import CommitLoop
from sinks.dead_letter_limit import DeadLetterLimit
from sinks.flow_tables import FlowContext
from sources.kafka.broker_watch import BrokerWatch
from sources.kafka.reader import KafkaReader, owned_partitions


class ArchiveWorkers:
    """The tables of each worker, the dedupe windows of their partitions, the redactor.

    The source opens them, because positions are known only after the take-over. Each
    partition belongs to one worker, so its window needs no lock.
    """

    def __init__(
        self,
        context: FlowContext,
        *,
        new_log: bool,
        accept_gap: bool,
        accept_dead_letters: bool,
    ) -> None:
        self.windows: dict[int, DedupeWindow] = {}
        self._context = context
        self._new_log = new_log
        self._accept_gap = accept_gap
        self._accept_dead_letters = accept_dead_letters
        self._tables: list[ArchiveTables] = []
        self._loops: dict[int, CommitLoop[Decoded]] = {}
        self._redactor: Redactor | None = None

    @staticmethod
    def now_ms() -> int:
        """Return the time of a clock that cannot be set, for the dedupe windows."""
        return time.monotonic_ns() // 1_000_000

    def writer_of(self, worker_index: int) -> CommitLoop[Decoded]:
        """Return the writer of a worker; its source must have opened it."""
        return self._loops[worker_index]

    @property
    def redactor(self) -> Redactor:
        """The redactor with the lake's key; a source must have been opened."""
        assert self._redactor is not None
        return self._redactor

    @property
    def already_dead_lettered(self) -> Set[tuple[int, int]]:
        """Records past the resume point whose dead letters an earlier run committed."""
        return frozenset().union(
            *(tables.already_dead_lettered for tables in self._tables)
        )

    def open_reader(self, worker_index: int, worker_count: int) -> NotedReader[Polled]:
        """Take over the tables; return a reader that starts after their offsets."""
        settings = self._context.settings
        if settings.archive.dedupe == "lake" and worker_count > 1:
            # Two workers that commit at the same time do not see each other's rows.
            msg = f"With dedupe = lake, archive has one process, not {worker_count}."
            raise ConfigError(msg, "Run it without --processes, or set dedupe.")
        # The broker may not answer for a while.
        activity = ActivityFile(
            self._context.storage, FLOW, worker_index, settings.topic
        )
        activity.resume(self._context.moment())
        broker = BrokerWatch(TopicAdmin(settings), settings)
        topic = broker.describe()
        retry(
            self._bind,
            on=StorageUnavailable,
            seconds=settings.commits.storage_retry_s,
        )
        committed = CommittedOffsets(ARCHIVE.group)
        tables = ArchiveTables(
            self._context,
            StreamId(FLOW, topic.cluster_id, topic.name, topic.topic_id),
            owned_partitions(topic.partitions, worker_index, worker_count),
            same_topic=lambda: broker.check_unchanged(topic),
            committed=committed,
            limit=DeadLetterLimit(settings.archive, accepts=self._accept_dead_letters),
        )
        offsets = tables.take_over(new_log=self._new_log)
        tables.report_activity(worker_index, list(offsets))
        for partition, (ids, ms) in tables.recent_ids().items():
            window = DedupeWindow(
                settings.archive.dedupe_ids,
                int(settings.archive.dedupe_hours * 3_600_000),
            )
            refill(window, ids, ms, self.now_ms())
            self.windows[partition] = window
        tables.beat(last=False)
        self._tables.append(tables)
        self._loops[worker_index] = CommitLoop(settings, tables)
        reader = KafkaReader(
            settings,
            topic,
            offsets,
            committed,
            accept_gap=self._accept_gap,
            same_topic=lambda: broker.check_unchanged(topic),
        )
        return NotedReader(reader, tables.waits)

    def _bind(self) -> None:
        """Check or set the lake's layout and key, before any record is read."""
        settings, storage = self._context.settings, self._context.storage
        layout.bind(storage)
        key = writer_key(settings, storage)
        self._redactor = redactor_of(key, settings.redaction)

    def report_windows(self) -> None:
        """Set the metrics for the size and time span of each dedupe window."""
        metrics = self._context.metrics
        for partition, window in self.windows.items():
            labels: dict[str, str | int] = {"flow": FLOW, "partition": partition}
            metrics.set("semloop_dedupe_window_ids", len(window.seen), **labels)
            metrics.set(
                "semloop_dedupe_window_seconds", window.span_ms() / 1000, **labels
            )
