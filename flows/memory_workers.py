"""What the source, the steps and the sink of one worker of `memory` share."""

import time
from dataclasses import replace

import pyarrow as pa

from flows.guard import ends_process
from operators.episodes.sessions import Sessions
from schemas.metrics import Metrics
from semloop import layout
from semloop.delta.streams import Origin
from semloop.embedders.contract import Embedder
from semloop.embedders.factory import embedder_of
from semloop.errors import StorageUnavailable
from semloop.lake.generations import FLOW
from semloop.retry import retry
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.memory_tables import MemoryTables
from sources.lake.source import LakeReader
from sources.lake.streams import TopicStreams

# Between looks for the first partition.
LOOK_S = 0.5


class MemoryWorkers:
    """Tables and reader of each worker, and the sessions of every origin they own.

    The source opens them, since positions are only known after the tables were taken
    over; an origin belongs to one worker, so its sessions need no lock.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        metrics: Metrics,
        *,
        until_caught_up: bool,
    ) -> None:
        self.sessions: dict[Origin, Sessions] = {}
        self.replaced: frozenset[str] = frozenset()
        self._settings = settings
        self._storage = storage
        self._metrics = metrics
        self._until_caught_up = until_caught_up
        self._tables: dict[int, MemoryTables] = {}
        self._embedder: Embedder | None = None

    @property
    def embedder(self) -> Embedder:
        """What makes the vectors; it is loaded when it is needed first."""
        if self._embedder is None:
            self._embedder = embedder_of(self._settings)
        return self._embedder

    def tables_of(self, worker_index: int) -> MemoryTables:
        """The tables that a worker took over; its source has opened them by then."""
        return self._tables[worker_index]

    @ends_process
    def open_reader(self, worker_index: int, worker_count: int) -> LakeReader:
        """Take the tables over, then read behind the offsets that they hold."""
        settings, storage = self._settings, self._storage
        retry(
            lambda: layout.bind(storage),
            on=StorageUnavailable,
            seconds=settings.storage_retry_s,
        )
        streams = self._streams()
        owned = streams.owned(worker_index, worker_count)
        own_logs = {
            topic_id: replace(log, flow=FLOW)
            for topic_id, log in streams.by_topic.items()
        }
        embedder = self.embedder
        tables = MemoryTables(
            settings, storage, own_logs, owned,
            (embedder.model_id, embedder.dimension), self._metrics,
        )  # fmt: skip
        positions = tables.take_over()
        self.replaced = streams.replaced
        self._resume(owned, tables)
        self._tables[worker_index] = tables
        return LakeReader(storage, streams, positions, settings.memory_poll_events)

    def _streams(self) -> TopicStreams:
        """What `archive` has met; a first start of both waits for it."""
        settings = self._settings
        while True:
            streams = retry(
                lambda: TopicStreams.read(self._storage, settings.topic),
                on=StorageUnavailable,
                seconds=settings.storage_retry_s,
            )
            if streams.first_seen or self._until_caught_up:
                return streams
            time.sleep(LOOK_S)

    def _resume(self, owned: list[Origin], tables: MemoryTables) -> None:
        """Go on with the episodes that are open."""
        rows = tables.open_episodes()
        found: dict[Origin, list[int]] = {origin: [] for origin in owned}
        topics = rows["topic_id"].to_pylist()
        partitions = rows["kafka_partition"].to_pylist()
        for place, origin in enumerate(zip(topics, partitions, strict=True)):
            if origin in found:
                found[origin].append(place)
        for origin, places in found.items():
            self.sessions[origin] = Sessions.of(
                rows.take(pa.array(places, pa.int64())), self._settings
            )
