"""State shared by the source, the steps and the sink of each worker of `memory`."""

import threading
from collections.abc import Sequence

import pyarrow as pa
from typing_extensions import override

from flows.lake_workers import LakeWorkers
from operators.episodes.sessions import Sessions
from operators.memories.embed import VectorCache
from schemas.batches import Vectored
from semloop.delta.streams import Partition, Streams
from semloop.embedders.contract import Embedder
from semloop.embedders.factory import embedder_of
from sinks.flow_tables import FlowContext
from sinks.memory_tables import FLOW, MemoryTables


class MemoryWorkers(LakeWorkers[Vectored]):
    """Tables and reader of each worker, and the sessions of the partitions they own.

    Each partition belongs to one worker, so its sessions need no lock.
    """

    flow = FLOW

    def __init__(self, context: FlowContext, *, until_caught_up: bool) -> None:
        super().__init__(context, until_caught_up=until_caught_up)
        self.sessions: dict[Partition, Sessions] = {}
        self.poll_events = context.settings.memory.poll_events
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

    @override
    def _taken_over(
        self, streams: Streams, owned: Sequence[Partition]
    ) -> tuple[MemoryTables, dict[Partition, int]]:
        model = (self.embedder.model_id, self.embedder.dimension)
        tables = MemoryTables(self._context, streams, owned, model)
        positions = tables.take_over()
        self._resume(owned, tables)
        return tables, positions

    def _resume(self, owned: Sequence[Partition], tables: MemoryTables) -> None:
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
