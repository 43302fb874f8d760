"""What the source, the steps and the sink of one worker of `memory` share."""

import threading
import time
from dataclasses import replace

import pyarrow as pa

from flows.guard import ends_process
from operators.episodes.sessions import Sessions
from operators.memories.embed import VectorCache
from schemas.batches import Vectored
from semloop import layout
from semloop.delta.streams import Partition, Streams
from semloop.embedders.contract import Embedder
from semloop.embedders.factory import embedder_of
from semloop.errors import StorageUnavailable
from semloop.retry import retry
from sinks.commit_loop import CommitLoop
from sinks.flow_tables import FlowContext
from sinks.memory_tables import FLOW, MemoryTables
from sources.lake.patient_reader import PatientLakeReader
from sources.lake.reader import LakeReader
from sources.lake.streams import TopicStreams

# Between looks for the first partition.
LOOK_S = 0.5


class MemoryWorkers:
    """Tables and reader of each worker, and the sessions of every origin they own.

    The source opens them, since positions are only known after the tables were taken
    over; an origin belongs to one worker, so its sessions need no lock.
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
        self._of_thread = threading.local()

    @property
    def embedder(self) -> Embedder:
        """What makes the vectors; it is loaded when it is needed first."""
        if self._embedder is None:
            self._embedder = embedder_of(self._settings)
        return self._embedder

    @property
    def cache(self) -> VectorCache:
        """Vectors of texts seen before; one cache a worker, which is a thread."""
        cache: VectorCache | None = getattr(self._of_thread, "cache", None)
        if cache is None:
            cache = VectorCache(self._settings.embedding.cache_texts)
            self._of_thread.cache = cache
        return cache

    def writer_of(self, worker_index: int) -> CommitLoop[Vectored]:
        """The writer of a worker, which its source has opened by then."""
        return self._loops[worker_index]

    @ends_process
    def open_reader(self, worker_index: int, worker_count: int) -> PatientLakeReader:
        """Take the tables over, then read behind the offsets that they hold."""
        settings, storage = self._settings, self._storage
        retry(
            lambda: layout.bind(storage),
            on=StorageUnavailable,
            seconds=settings.commits.storage_retry_s,
        )
        streams = self._streams()
        owned = streams.owned(worker_index, worker_count)
        own = Streams.of(*(replace(s, flow=FLOW) for s in streams.by_topic.values()))
        model = (self.embedder.model_id, self.embedder.dimension)
        tables = MemoryTables(self._context, own, owned, model)
        positions = tables.take_over()
        self.replaced = streams.replaced
        self._resume(owned, tables)
        self._loops[worker_index] = CommitLoop(settings, tables)
        reader = LakeReader(storage, streams, positions, settings.memory.poll_events)
        return PatientLakeReader(reader, settings)

    def _streams(self) -> TopicStreams:
        """What `archive` has met; a first start of both waits for it."""
        settings = self._settings
        while True:
            streams = retry(
                lambda: TopicStreams.read(self._storage, settings.topic),
                on=StorageUnavailable,
                seconds=settings.commits.storage_retry_s,
            )
            if streams.first_seen or self._until_caught_up:
                return streams
            time.sleep(LOOK_S)

    def _resume(self, owned: list[Partition], tables: MemoryTables) -> None:
        """Go on with the episodes that are open."""
        rows = tables.open_episodes()
        found: dict[Partition, list[int]] = {origin: [] for origin in owned}
        topics = rows["topic_id"].to_pylist()
        partitions = rows["kafka_partition"].to_pylist()
        for place, origin in enumerate(map(Partition, topics, partitions)):
            if origin in found:
                found[origin].append(place)
        for origin, places in found.items():
            self.sessions[origin] = Sessions.of(
                rows.take(pa.array(places, pa.int64())),
                self._settings.episodes,
                self._settings.rewards,
            )
