"""The scheduled flow `reindex`: events, episodes -> a new generation of memories.

For another model, or when the memories are gone. It fills a table of its own beside the
flow `memory`, in rounds, each up to where `memory` was when the round began; the round
after which nobody has committed meanwhile ends with the commit that fences `memory` and
switches to the new table. Interrupted, it goes on where it stopped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from operators.chunk import chunk
from operators.embed import VectorCache
from operators.episode_events import TOLD
from operators.replay import Replay
from operators.vectors import with_vectors
from schemas.arrow import EPISODE_REVISIONS, EVENTS, PLACES
from schemas.arrow import memories as memories_schema
from schemas.batches import Origin, Windowed, by_origin
from semloop.embedder import embedder_of
from semloop.errors import LakeError, Terminal
from semloop.memories import EPISODES, FLOW, GENERATION, generation_of
from semloop.settings import Settings
from semloop.storage import Storage
from sinks.fenced_table import NEVER_READ, FencedTable
from sinks.memory_tables import OriginNames
from sinks.reindex_positions import ReindexPositions
from sinks.vector_table import VectorTable
from sources.known_episodes import KnownEpisodes
from sources.lake import LakeReader
from sources.lake_logs import TopicLogs

# More rounds than that mean that `memory` is as fast.
ROUNDS_MAX = 20
# Written by no writer of the flow, so that any of them may write the row again.
WRITER = 0
TOLD_TYPES = pa.array(sorted(TOLD))

Show = Callable[[str, int, int], None]


@dataclass
class Report:
    """What came of it."""

    generation: int
    model: str
    memories: int = 0
    skipped: int = 0


def reindex(settings: Settings, show: Show = lambda step, done, total: None) -> Report:
    """Make all memories anew, and switch to them.

    Args:
        settings: the lake, what is remembered, and the embedder of the new memories.
        show: told (step, done, total) of the work, now and then.

    Raises:
        LakeError: there is nothing to make memories of.
        Terminal: `memory` commits faster than this follows.
        EmbedderUnavailable: the model does not answer.
        StorageUnavailable: not within `storage_retry_s`.
    """
    return _Reindex(settings, show).run()


class _Reindex:
    def __init__(self, settings: Settings, show: Show) -> None:
        self._settings = settings
        self._storage = Storage.of(settings)
        self._show = show
        self._embedder = embedder_of(settings)
        self._cache = VectorCache(settings.embed_cache_texts)
        self._logs = TopicLogs.read(self._storage, settings.topic)
        self._own = {
            topic_id: replace(log, flow=FLOW)
            for topic_id, log in self._logs.by_topic.items()
        }
        self._replays = {origin: Replay() for origin in self._logs.owned(0, 1)}

    def run(self) -> Report:
        if not self._storage.has(EPISODES) or not self._own:
            msg = f"The lake {self._storage.root} has no episodes yet."
            raise LakeError(msg, "Start the flow that makes them: `semloop up`.")
        main = self._open_main()
        self._positions, self._vectors = self._begin(main)
        self._report = Report(self._positions.generation, self._embedder.model_id)
        # Episodes that are under way there are read again, for the places of the rest.
        remembered = self._positions.read()
        known = KnownEpisodes(self._storage, main.handle)
        reached = known.beginnings(remembered)
        self._done = self._vectors.episode_ids()
        for _ in range(ROUNDS_MAX):
            until = {o: _or_never(main.stored(o)) for o in main.owned}
            self._events(known, reached, remembered, until)
            self._episodes(known, until)
            self._positions.write(until)
            epochs = {o: 1 + main.epoch(o) for o in main.owned}
            if main.take(epochs, {GENERATION: self._report.generation}):
                return self._report
            reached = remembered = until
            main = self._open_main()
            known = KnownEpisodes(self._storage, main.handle)
        msg = "The flow `memory` commits as fast as this follows."
        todo = "Run it again once `semloop status` shows memory caught up: it goes on."
        raise Terminal(msg, todo)

    def _open_main(self) -> FencedTable[Origin]:
        return FencedTable(
            self._storage, EPISODES, OriginNames(self._own), tuple(self._replays),
            self._settings.storage_retry_s,
        )  # fmt: skip

    def _begin(self, main: FencedTable[Origin]) -> tuple[ReindexPositions, VectorTable]:
        """A new generation, or one of this model that was begun and not finished."""
        generation = generation_of(main.handle)
        while True:
            generation += 1
            positions = ReindexPositions(
                self._storage, self._own, tuple(self._replays), generation
            )
            vectors = VectorTable(
                self._storage, generation, self._embedder.dimension,
                self._embedder.model_id, self._settings.storage_retry_s,
            )  # fmt: skip
            begun = any(last > NEVER_READ for last in positions.read().values())
            if begun == vectors.exists() or not begun:
                try:
                    vectors.open()
                except LakeError:  # Begun with another model.
                    continue
                return positions, vectors

    def _events(
        self,
        known: KnownEpisodes,
        reached: Mapping[Origin, int],
        remembered: Mapping[Origin, int],
        until: Mapping[Origin, int],
    ) -> None:
        """Remember the events beyond `remembered`, up to `until`."""
        at = dict(reached)
        total = sum(max(0, until[o] - at[o]) for o in until)
        reader = LakeReader(
            self._storage, self._logs, reached, self._settings.memory_poll_events
        )
        try:
            while any(at[o] < until[o] for o in until):
                polled = reader.poll()
                told, places = [EVENTS.empty_table()], [PLACES.empty_table()]
                for origin, rows in by_origin(polled.events):
                    own, own_places = self._placed(known, origin, rows, until[origin])
                    new = pc.greater(own["kafka_offset"], remembered[origin])
                    told.append(own.filter(new))
                    places.append(own_places.filter(new))
                self._remember(
                    pa.concat_tables(told),
                    pa.concat_tables(places),
                    EPISODE_REVISIONS.empty_table(),
                )
                at |= {o: min(last, until[o]) for o, last in polled.positions.items()}
                left = sum(max(0, until[o] - at[o]) for o in until)
                self._show("events", total - left, total)
                if polled.complete:
                    break
        finally:
            reader.close()

    def _placed(
        self, known: KnownEpisodes, origin: Origin, rows: pa.Table, until: int
    ) -> tuple[pa.Table, pa.Table]:
        """The events up to an offset that are in an episode, and their places there."""
        told = rows.filter(
            pc.and_(
                pc.is_in(rows["type"], TOLD_TYPES),
                pc.less_equal(rows["kafka_offset"], until),
            )
        )
        placed = known.placed(told)
        told = told.take(placed["place"])
        return told, self._replays[origin].places(told, placed)

    def _episodes(self, known: KnownEpisodes, until: Mapping[Origin, int]) -> None:
        """Remember the closed episodes that are not yet."""
        for rows in known.closed(until, self._done):
            self._remember(EVENTS.empty_table(), PLACES.empty_table(), rows)
            self._done.update(rows["episode_id"].to_pylist())
            self._show("episodes", len(self._done), len(self._done))

    def _remember(self, told: pa.Table, places: pa.Table, episodes: pa.Table) -> None:
        chunked = chunk(Windowed(told, places, episodes), self._settings)
        vectored, _ = with_vectors(
            chunked, self._embedder, self._cache, self._settings.embed_batch_tokens
        )
        rows, report = vectored.memories, self._report
        report.skipped += sum(vectored.skipped.values())
        if rows.num_rows:
            report.memories += rows.num_rows
            schema = memories_schema(self._embedder.dimension, self._embedder.model_id)
            writers = pa.repeat(pa.scalar(WRITER, pa.int64()), rows.num_rows)
            signed = rows.append_column("writer", writers)
            self._vectors.merge(signed.select(schema.names).cast(schema))


def _or_never(offset: int | None) -> int:
    return NEVER_READ if offset is None else offset
