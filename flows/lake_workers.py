"""Opens reader and tables of each worker of a flow that reads `events`."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Generic

import structlog

from flows.noted_reader import NotedReader
from schemas.batches import PolledEvents
from semloop import layout
from semloop.delta.streams import Partition, Streams
from semloop.errors import StorageUnavailable
from semloop.retry import retry
from sinks.activity_file import ActivityFile
from sinks.commit_loop import CommitLoop
from sinks.flow_tables import FlowContext, Item
from sinks.lake_reader_tables import LakeReaderTables
from sources.lake.patient_reader import PatientLakeReader
from sources.lake.reader import ROWS_MAX, LakeReader
from sources.lake.streams import TopicStreams

# Seconds between polls for the first partition.
POLL_S = 0.5
NO_EVENTS = "Check SEMLOOP_LAKE, or run `semloop run archive --until-caught-up` first."

log = structlog.get_logger("flow")


class LakeWorkers(ABC, Generic[Item]):
    """Tables and reader of each worker.

    The source opens them, because positions are known only after the take-over.
    """

    # Name of the flow, and maximum rows of a poll.
    flow: str
    poll_events: int = ROWS_MAX

    def __init__(self, context: FlowContext, *, until_caught_up: bool) -> None:
        self.replaced: frozenset[str] = frozenset()
        self._context = context
        self._settings = context.settings
        self._storage = context.storage
        self._until_caught_up = until_caught_up
        self._loops: dict[int, CommitLoop[Item]] = {}

    def writer_of(self, worker_index: int) -> CommitLoop[Item]:
        """Return the writer of a worker; its source must have opened it."""
        return self._loops[worker_index]

    def open_reader(
        self, worker_index: int, worker_count: int
    ) -> NotedReader[PolledEvents]:
        """Take over the tables; return a reader that starts after their offsets."""
        settings, storage = self._settings, self._storage
        retry(
            lambda: layout.bind(storage),
            on=StorageUnavailable,
            seconds=settings.commits.storage_retry_s,
        )
        # Waiting for a topic, opening the tables and taking over take time.
        activity = ActivityFile(storage, self.flow, worker_index, settings.topic)
        activity.resume(self._context.moment())
        streams = self._topic_streams(activity, worker_index)
        owned = streams.owned(worker_index, worker_count)
        own_streams = Streams.of(
            *(replace(s, flow=self.flow) for s in streams.by_topic.values())
        )
        activity.start(owned, self._context.moment())
        tables, positions = self._taken_over(own_streams, owned)
        tables.report_activity(worker_index, owned)
        self.replaced = streams.replaced
        tables.beat(last=False)
        self._loops[worker_index] = CommitLoop(settings, tables)
        reader = LakeReader(storage, streams, positions, self.poll_events)
        return NotedReader(PatientLakeReader(reader, settings), tables.waits)

    @abstractmethod
    def _taken_over(
        self, streams: Streams, owned: Sequence[Partition]
    ) -> tuple[LakeReaderTables[Item], dict[Partition, int]]:
        """Return the tables, taken over, and their positions."""

    def _topic_streams(self, activity: ActivityFile, worker_index: int) -> TopicStreams:
        """Return the streams in the lake; wait until `archive` has registered one."""
        settings = self._settings
        while True:
            streams = retry(
                lambda: TopicStreams.read(self._storage, settings.topic),
                on=StorageUnavailable,
                seconds=settings.commits.storage_retry_s,
            )
            if streams.first_seen:
                return streams
            if self._until_caught_up:
                if worker_index == 0:
                    log.warning(
                        "no events: archive has read nothing of this topic yet",
                        lake=self._storage.root, topic=settings.topic, todo=NO_EVENTS,
                    )  # fmt: skip
                return streams
            activity.beat(None, self._context.moment())
            self._context.metrics.signs.wait(worker_index)
            time.sleep(POLL_S)
