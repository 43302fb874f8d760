"""State shared by the source, the steps and the sink of each worker of `memory`."""

import threading
import time
from dataclasses import replace

import pyarrow as pa

from operators.episodes.sessions import Sessions
from operators.memories.embed import VectorCache
from schemas.batches import Vectored
from semloop import layout
from semloop.delta.streams import Partition, Streams
from semloop.embedders.contract import Embedder
from semloop.embedders.factory import embedder_of
from semloop.errors import StorageUnavailable
from semloop.retry import retry
from sinks.activity_file import ActivityFile
from sinks.commit_loop import CommitLoop
from sinks.flow_tables import FlowContext
from sinks.memory_tables import FLOW, MemoryTables
from sources.lake.patient_reader import PatientLakeReader
from sources.lake.reader import LakeReader
from sources.lake.streams import TopicStreams

# Seconds between polls for the first partition.
POLL_S = 0.5


class MemoryWorkers:
    """Tables and reader of each worker, and the sessions of the partitions they own.

    The source opens them, because positions are known only after the take-over. Each
    partition belongs to one worker, so its sessions need no lock.
    """

    def __init__(self, context: FlowContext, *, until_caught_up: bool) -> None:
        self.sessions: dict[Partition, Sessions] = {}
        self.replaced: frozenset[str] = frozenset()
        self._context = context
        self._settings = context.settings
        self._storage = context.storage
        self._until_caught_up = until_caught_up
        self._loops: dict[int, CommitLoop[Vectored]] = {}
        self._embedder: Embedder | None = None
        self._thread_local = threading.local()

    @property
    def embedder(self) -> Embedder:
        """The embedder of all workers, loaded on first use."""
        if self._embedder is None:
            self._embedder = embedder_of(self._settings)
        return self._embedder

    @property
    def cache(self) -> VectorCache:
        """The vector cache of the calling worker; each worker is a thread."""
        cache: VectorCache | None = getattr(self._thread_local, "cache", None)
        if cache is None:
            cache = VectorCache(self._settings.embedding.cache_texts)
            self._thread_local.cache = cache
        return cache

    def writer_of(self, worker_index: int) -> CommitLoop[Vectored]:
        """Return the writer of a worker; its source must have opened it."""
        return self._loops[worker_index]

    def open_reader(self, worker_index: int, worker_count: int) -> PatientLakeReader:
        """Take over the tables; return a reader that starts after their offsets."""
        settings, storage = self._settings, self._storage
        retry(
            lambda: layout.bind(storage),
            on=StorageUnavailable,
            seconds=settings.commits.storage_retry_s,
        )
        # Waiting for a topic, loading the embedder and taking over take time.
        activity = ActivityFile(storage, FLOW, worker_index, settings.topic)
        activity.resume(self._context.moment())
        streams = self._streams(activity, worker_index)
        owned = streams.owned(worker_index, worker_count)
        own_streams = Streams.of(
            *(replace(s, flow=FLOW) for s in streams.by_topic.values())
        )
        activity.start(owned, self._context.moment())
        model = (self.embedder.model_id, self.embedder.dimension)
        tables = MemoryTables(self._context, own_streams, owned, model)
        positions = tables.take_over()
        tables.report_activity(worker_index, owned)
        self.replaced = streams.replaced
        self._resume(owned, tables)
        tables.beat(last=False)
        self._loops[worker_index] = CommitLoop(settings, tables)
        reader = LakeReader(storage, streams, positions, settings.memory.poll_events)
        return PatientLakeReader(reader, settings)

    def _streams(self, activity: ActivityFile, worker_index: int) -> TopicStreams:
        """Return the streams in the lake; wait until `archive` has registered one."""
        settings = self._settings
        while True:
            streams = retry(
                lambda: TopicStreams.read(self._storage, settings.topic),
                on=StorageUnavailable,
                seconds=settings.commits.storage_retry_s,
            )
            if streams.first_seen or self._until_caught_up:
                return streams
            activity.beat(None, self._context.moment())
            self._context.metrics.signs.wait(worker_index)
            time.sleep(POLL_S)

    def _resume(self, owned: list[Partition], tables: MemoryTables) -> None:
        """Restore the sessions of the owned partitions."""
        rows = tables.recent_sessions()
        indices: dict[Partition, list[int]] = {partition: [] for partition in owned}
        topic_ids = rows["topic_id"].to_pylist()
        numbers = rows["kafka_partition"].to_pylist()
        for index, partition in enumerate(map(Partition, topic_ids, numbers)):
            if partition in indices:
                indices[partition].append(index)
        for partition, selected in indices.items():
            self.sessions[partition] = Sessions.of(
                rows.take(pa.array(selected, pa.int64())),
                self._settings.episodes,
                self._settings.rewards,
            )
