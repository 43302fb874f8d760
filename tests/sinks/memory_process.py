"""The flow `memory` in the test's process, run step by step, to crash between steps."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from operators.episodes.assign import assign_episodes
from operators.episodes.sessions import Sessions
from operators.memories.attach_vectors import attach_vectors
from operators.memories.chunk import chunk
from operators.memories.embed import VectorCache
from schemas.arrow import EVENTS
from schemas.batches import PolledEvents, Progress
from schemas.metrics import Metrics
from semloop.delta.streams import Partition, StreamId, Streams
from semloop.embedders.contract import Embedder
from semloop.embedders.hashing import Hashing
from semloop.lake.generations import FLOW
from semloop.lake.lake import Lake
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from sinks.commit_loop import CommitLoop
from sinks.flow_tables import FlowContext
from sinks.memory_tables import MemoryTables

STREAM = StreamId(FLOW, "cluster-1", "agent-events", "topic-1")
ORIGIN = Partition("topic-1", 0)
HASHING = Hashing()


def lake_settings(folder: Path) -> Settings:
    """Settings that commit every poll, without fence checks in between."""
    return load(
        {}, lake=str(folder), embedder="hashing", commit_rows=1,
        commit_interval_s=0.001, fence_check_s=1_000, storage_retry_s=5,
    )  # fmt: skip


class Crash(Exception):
    """The simulated process died."""


def raise_crash() -> bool:
    """Replaces a function that returns a bool, at which a process dies."""
    raise Crash


class MemoryProcess:
    """A simulated process of the flow."""

    def __init__(
        self,
        settings: Settings,
        embedder: Embedder = HASHING,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._embedder = embedder
        clock = clock or time.time
        context = FlowContext(settings, Storage.of(settings), self.metrics, clock)
        model = (embedder.model_id, embedder.dimension)
        self.tables = MemoryTables(context, Streams.of(STREAM), [ORIGIN], model)
        self.loop = CommitLoop(settings, self.tables, clock)
        self.position = self.tables.take_over()[ORIGIN]
        rows = self.tables.recent_sessions()
        self.sessions = {ORIGIN: Sessions.of(rows, settings.episodes, settings.rewards)}
        self._cache = VectorCache(1_000)

    def read(
        self,
        stream: pa.Table,
        count: int,
        caught_up_ms: int | None,
        *,
        last: bool = False,
    ) -> bool:
        """Process the next events; False if there were no events left.

        `caught_up_ms`: as `archive` reports it; valid once all events were read.
        """
        offsets = stream["kafka_offset"].to_pylist()
        start = next((n for n, o in enumerate(offsets) if o > self.position), None)
        if start is None:
            return False
        rows = stream.slice(start, count)
        complete = start + count >= len(offsets)
        self.position = rows["kafka_offset"][-1].as_py()
        progress = Progress(
            {ORIGIN: self.position},
            {ORIGIN: offsets[-1] + 1},
            {} if caught_up_ms is None else {ORIGIN: caught_up_ms},
            complete=complete,
            last=last,
        )
        self._process(PolledEvents(rows, progress))
        return True

    def read_idle_tick(self, caught_up_ms: int) -> None:
        """Process a tick: `archive` caught up at that time, and there are no events."""
        ends, times = {ORIGIN: self.position + 1}, {ORIGIN: caught_up_ms}
        progress = Progress({}, ends, times, complete=True)
        self._process(PolledEvents(EVENTS.empty_table(), progress))

    def _process(self, polled: PolledEvents) -> None:
        assigned = assign_episodes(polled, self.sessions, frozenset())
        chunked = chunk(assigned, self.settings.memory)
        vectored, _ = attach_vectors(chunked, self._embedder, self._cache, 8_192)
        self.loop.add(vectored)

    def crash_at(self, where: str) -> None:
        """Crash in the next commit: before or after the vectors, or after both."""
        vectors, main = self.tables._vectors, self.tables._main

        def crashing(step: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
            def crashing_step(*args: Any) -> None:
                if after:
                    step(*args)
                raise Crash

            return crashing_step

        if where == "before the vectors":
            vectors.merge = crashing(vectors.merge, after=False)  # type: ignore[method-assign]
        elif where == "after the vectors":
            main.commit = crashing(main.commit, after=False)  # type: ignore[method-assign]
        else:
            main.commit = crashing(main.commit, after=True)  # type: ignore[method-assign]


def visible_memories(settings: Settings) -> list[tuple[Any, ...]]:
    """Return (kind, offset, text) of the memories that `Lake` shows, in order."""
    with Lake(settings=settings, stale_s=0) as lake:
        query = "SELECT kind, kafka_offset, text FROM memories ORDER BY ALL"
        return lake.sql(query).fetchall()


def query_rows(settings: Settings, query: str) -> list[Mapping[str, Any]]:
    """Return the rows of a query."""
    with Lake(settings=settings, stale_s=0) as lake:
        found: list[Mapping[str, Any]] = lake.sql(query).to_arrow_table().to_pylist()
        return found
