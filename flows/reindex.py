"""The scheduled flow `reindex`: events, episodes -> a new generation of memories.

For another model, or when the memories are gone. It fills a table of its own beside the
flow `memory`, in rounds, each up to where `memory` was when the round began; the round
in which nobody else commits ends with the commit that fences `memory` and switches to
the new table. Interrupted, it goes on where it stopped.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import stamina

from operators.episodes.events import TOLD
from operators.episodes.positions import Replay
from operators.memories.attach_vectors import with_vectors
from operators.memories.chunk import chunk
from operators.memories.embed import VectorCache
from schemas.arrow import EPISODE_REVISIONS, EVENTS, PLACES
from schemas.arrow import memories as memories_schema
from schemas.batches import Windowed, by_partition
from semloop.delta.streams import NEVER_READ, Partition, Streams
from semloop.embedders.factory import embedder_of
from semloop.errors import (
    EmbedderUnavailable,
    LakeError,
    StorageUnavailable,
    TakenOver,
    Terminal,
    TopicChanged,
)
from semloop.lake.generations import EPISODES, FLOW, GENERATION, generation_of
from semloop.retry import retry
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.delta.fenced_table import FencedTable
from sinks.delta.reindex_positions import ReindexPositions
from sinks.delta.table_log import TableLog
from sinks.vectors.maintenance import maintain
from sinks.vectors.table import VectorTable
from sources.lake.episode_index import KnownEpisodes
from sources.lake.reader import LakeReader
from sources.lake.streams import TopicStreams

# A round without much to do takes a part of the time between two commits of `memory`.
ROUNDS_MAX = 100
# How much is done again at most by who goes on after a death.
NOTED_EVERY_S = 30.0
# Written by no writer of the flow, so that any of them may write the row again.
WRITER = 0
TOLD_TYPES = pa.array(sorted(TOLD))

R = TypeVar("R")
Show = Callable[[str, int, int], None]


@dataclass
class Report:
    """What came of it: `memories` made, and texts `skipped` by the settings."""

    generation: int
    model: str
    memories: int = 0
    skipped: int = 0


def reindex(settings: Settings, show: Show = lambda step, done, total: None) -> Report:
    """Make all memories anew, those of every topic, and switch to them.

    Args:
        settings: the lake, what is remembered, and the embedder of the new memories.
        show: told (step, done, total) of the work, now and then.

    Raises:
        LakeError: there is nothing to make memories of.
        Terminal: `memory` commits faster than this follows, or another `reindex` was
            quicker.
        TopicChanged: there are partitions that were not there at the start.
        EmbedderUnavailable: the model does not answer within `embedder_retry_s`.
        StorageUnavailable: not within `storage_retry_s`.
    """
    storage = Storage.of(settings)
    streams = TopicStreams.every(storage) if storage.has(EPISODES) else []
    if not streams:
        msg = f"The lake {settings.lake} has no episodes yet."
        raise LakeError(msg, "Start the flow that makes them: `semloop up`.")
    return _Reindex(settings, storage, streams, show).run()


class _Reindex:
    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        streams: list[TopicStreams],
        show: Show,
    ) -> None:
        self._settings, self._storage, self._show = settings, storage, show
        self._retry_s = settings.storage_retry_s
        self._embedder = embedder_of(settings)
        self._schema = memories_schema(
            self._embedder.dimension, self._embedder.model_id
        )
        self._cache = VectorCache(settings.embed_cache_texts)
        self._streams = streams
        self._own = {
            topic_id: replace(log, flow=FLOW)
            for of_topic in streams
            for topic_id, log in of_topic.by_topic.items()
        }
        origins = [origin for of_topic in streams for origin in of_topic.owned(0, 1)]
        self._replays = {origin: Replay() for origin in origins}
        self._main = self._retry(self._open_main)
        self._known = KnownEpisodes(storage)

    def run(self) -> Report:
        self._positions, self._vectors = self._begin()
        self._report = Report(self._positions.generation, self._embedder.model_id)
        self._remembered = self._positions.read() or {}
        self._done = self._vectors.episode_ids()
        self._retry(self._follow)
        # Episodes that go on are read from their beginning, for the places of the rest.
        begin = self._known.beginnings(self._remembered)
        self._round(begin)
        self._positions.write(self._remembered)
        # The switch must find a table that is quick to search.
        maintain(self._storage, self._report.generation, self._show, self._retry_s)
        for _ in range(ROUNDS_MAX):
            self._retry(self._follow)
            self._round(self._remembered)
            if self._switched():
                return self._report
        msg = "The flow `memory` commits as fast as this follows."
        todo = "Run it again once `semloop status` shows memory caught up: it goes on."
        raise Terminal(msg, todo)

    def _retry(self, step: Callable[[], R]) -> R:
        return retry(step, on=StorageUnavailable, seconds=self._retry_s)

    def _open_main(self) -> FencedTable:
        return FencedTable(
            TableLog(self._storage, EPISODES), Streams(self._own),
            tuple(self._replays), self._retry_s,
        )  # fmt: skip

    def _begin(self) -> tuple[ReindexPositions, VectorTable]:
        """A new generation, or one that was begun alike and not finished."""
        generation = generation_of(self._main.handle)
        while True:
            generation += 1
            positions = ReindexPositions(
                self._storage, self._own, tuple(self._replays), generation,
                self._kind(), self._retry_s,
            )  # fmt: skip
            vectors = VectorTable(
                self._storage, generation, self._embedder.dimension,
                self._embedder.model_id, self._retry_s,
            )  # fmt: skip
            begun = positions.read() is not None
            # Positions whose table was removed meanwhile are no use, and neither is a
            # table that was filled otherwise.
            if begun == vectors.exists():
                vectors.open()
                if not begun:
                    positions.write(dict.fromkeys(self._replays, NEVER_READ))
                return positions, vectors

    def _kind(self) -> str:
        """What the memories depend on but for the events: equal rows, equal kinds."""
        settings = self._settings
        policy = (
            settings.memory_kinds,
            settings.memory_importance_min,
            sorted(settings.memory_sample.items()),
        )
        told = repr((self._schema.names, self._schema.metadata, policy))
        return blake2b(told.encode(), digest_size=8).hexdigest()

    def _follow(self) -> None:
        """Look at what `memory` has committed by now."""
        self._main.refresh()
        if generation_of(self._main.handle) >= self._report.generation:
            msg = "Another `reindex` has switched the memories meanwhile."
            raise Terminal(msg, "Run it once more if theirs are not those you want.")
        if TopicStreams.every(self._storage) != self._streams:
            msg = "A topic was made again or got partitions."
            raise TopicChanged(msg, "Run it once more: it goes on, with them.")
        self._known.follow(self._main.handle)

    def _round(self, begin: Mapping[Partition, int]) -> None:
        """Remember what is beyond, up to where `memory` is."""
        stored = {origin: self._main.stored(origin) for origin in self._replays}
        until = {o: NEVER_READ if at is None else at for o, at in stored.items()}
        for streams in self._streams:
            self._events(streams, begin, until)
        self._episodes(until)
        self._remembered = until

    def _switched(self) -> bool:
        """Try to put the new memories in place; False if somebody has committed."""
        if not self._vectors.exists():
            msg = "The new memories were removed while they were made."
            raise LakeError(msg, "Run it once more.")
        epochs = {origin: 1 + self._main.epoch(origin) for origin in self._replays}
        try:
            return self._main.take(epochs, {GENERATION: self._report.generation})
        except (StorageUnavailable, TakenOver):
            # The commit may be there, or `memory` may have gone on right after it.
            self._retry(self._main.refresh)
            return generation_of(self._main.handle) == self._report.generation

    def _events(
        self,
        streams: TopicStreams,
        begin: Mapping[Partition, int],
        until: Mapping[Partition, int],
    ) -> None:
        """Remember the events of a topic that are not yet."""
        at = {origin: begin[origin] for origin in streams.owned(0, 1)}
        total = left = sum(max(0, until[o] - at[o]) for o in at)
        if not left:
            return
        noted_s = time.monotonic()
        reader = LakeReader(
            self._storage, streams, at, self._settings.memory_poll_events
        )
        try:
            complete = False
            while left and not complete:
                polled = self._retry(reader.poll)
                complete = polled.progress.complete
                self._remember_events(polled.events, until)
                read = polled.progress.positions
                at |= {o: min(last, until[o]) for o, last in read.items()}
                left = sum(max(0, until[o] - at[o]) for o in at)
                self._show("events", total - left, total)
                if time.monotonic() - noted_s >= NOTED_EVERY_S:
                    noted_s = time.monotonic()
                    passed = {o: max(at[o], self._remembered[o]) for o in at}
                    self._remembered = {**self._remembered, **passed}
                    self._positions.write(self._remembered)
        finally:
            reader.close()

    def _remember_events(
        self, events: pa.Table, until: Mapping[Partition, int]
    ) -> None:
        told, places = [EVENTS.empty_table()], [PLACES.empty_table()]
        for origin, rows in by_partition(events):
            own, own_places = self._placed(origin, rows, until[origin])
            new = pc.greater(own["kafka_offset"], self._remembered[origin])
            told.append(own.filter(new))
            places.append(own_places.filter(new))
        none = EPISODE_REVISIONS.empty_table()
        self._remember(pa.concat_tables(told), pa.concat_tables(places), none)

    def _placed(
        self, origin: Partition, rows: pa.Table, until: int
    ) -> tuple[pa.Table, pa.Table]:
        """The events up to an offset that are in an episode, and their places there."""
        told = rows.filter(
            pc.and_(
                pc.is_in(rows["type"], TOLD_TYPES),
                pc.less_equal(rows["kafka_offset"], until),
            )
        )
        placed = self._known.placed(told)
        told = told.take(placed["place"])
        return told, self._replays[origin].places(told, placed)

    def _episodes(self, until: Mapping[Partition, int]) -> None:
        """Remember the closed episodes that are not yet."""
        for rows in self._known.closed(until, self._done):
            self._remember(EVENTS.empty_table(), PLACES.empty_table(), rows)
            self._done.update(rows["episode_id"].to_pylist())
            self._show("episodes", len(self._done), len(self._done))

    def _remember(self, told: pa.Table, places: pa.Table, episodes: pa.Table) -> None:
        chunked = chunk(Windowed(told, places, episodes), self._settings)
        for attempt in stamina.retry_context(
            on=EmbedderUnavailable,
            attempts=None,
            timeout=self._settings.embedder_retry_s,
        ):
            with attempt:
                vectored, _ = with_vectors(
                    chunked, self._embedder, self._cache,
                    self._settings.embed_batch_tokens,
                )  # fmt: skip
        rows, report = vectored.memories, self._report
        report.skipped += sum(vectored.skipped.values())
        if rows.num_rows:
            report.memories += rows.num_rows
            writers = pa.repeat(pa.scalar(WRITER, pa.int64()), rows.num_rows)
            signed = rows.append_column("writer", writers)
            self._vectors.merge(signed.select(self._schema.names).cast(self._schema))
