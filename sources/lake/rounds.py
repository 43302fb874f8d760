"""`events`, `episodes` -> the input of a new generation of memories, in rounds.

Each round ends where the flow `memory` was when the round began, so each is shorter
than the one before, until `memory` does not commit during a round.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from deltalake import DeltaTable

from schemas.arrow import EPISODE_REVISIONS, EVENTS
from schemas.batches import Progress, ReindexPart
from schemas.filling import Filling
from schemas.steps import ProgressCallback
from semloop.delta.streams import NEVER_READ, Partition
from semloop.errors import StorageUnavailable, Terminal, TopicChanged
from semloop.lake.generations import EPISODES, generation_of
from semloop.retry import retry
from semloop.settings import Settings
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from sources.lake.episode_index import EpisodeIndex
from sources.lake.reader import LakeReader
from sources.lake.streams import TopicStreams

# A short round takes a fraction of the time between two commits of `memory`.
ROUNDS_MAX = 100
# Bounds the work that a run after a crash repeats.
SAVE_EVERY_S = 30.0

R = TypeVar("R")


class EpisodesTable(Protocol):
    """Table `episodes` at the version that a round reads."""

    @property
    def handle(self) -> DeltaTable:
        """Handle of that version."""

    def refresh(self) -> None:
        """Open the newest version."""

    def stored(self, partition: Partition) -> int | None:
        """Return the last offset that `memory` has committed."""


class Rounds:
    """Reads the input that a new generation lacks, until readers switch to it.

    Unit of parallelism: none, one worker reads all partitions. Guarantee after a crash:
    reading resumes after the positions that the writer saved.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        streams: Sequence[TopicStreams],
        episodes: EpisodesTable,
        index: EpisodeIndex,
        filling: Filling,
    ) -> None:
        """Prepare to read; `items` does the reading.

        Args:
            settings: events per poll, and the time limit for retries.
            storage: the lake.
            streams: all topics of the lake.
            episodes: table `episodes`, whose newest version each round opens.
            index: episodes of that version, shared with the step that places events.
            filling: progress of the generation.
        """
        self._settings = settings
        self._storage = storage
        self._streams = streams
        self._table = episodes
        self._index = index
        self._filling = filling

    def items(self, show: ProgressCallback) -> Iterator[ReindexPart]:
        """Yield all rounds; items without rows while the writer has to catch up.

        Args:
            show: called with (step, done, total) as the work progresses.

        Raises:
            Terminal: `memory` commits faster than this can follow, or another `reindex`
                finished first.
            TopicChanged: a topic was recreated, or partitions were added.
            LakeError: a table cannot be read.
            StorageUnavailable: it cannot be read within `storage_retry_s`.
        """
        self._retry(self._follow)
        # Open episodes are read from their first event, to place the later ones.
        begin = self._index.resume_positions(self._filling.reached)
        yield from self._round(begin, show)
        for _ in range(ROUNDS_MAX):
            self._retry(self._follow)
            yield from self._round(self._filling.reached, show)
            if self._filling.switched:
                return
        msg = "The flow `memory` commits as fast as `reindex` can follow."
        todo = "Run it again when `semloop status` shows memory caught up; it resumes."
        raise Terminal(msg, todo)

    def _retry(self, step: Callable[[], R]) -> R:
        seconds = self._settings.commits.storage_retry_s
        return retry(step, on=StorageUnavailable, seconds=seconds)

    def _follow(self) -> None:
        """Advance to what `memory` has committed by now."""
        self._table.refresh()
        with storage_errors(self._storage, f"read table {EPISODES}"):
            generation = generation_of(self._table.handle)
        if generation >= self._filling.generation:
            msg = "Another `reindex` has switched the memories in the meantime."
            raise Terminal(msg, "Run it again if you need other settings.")
        if TopicStreams.every(self._storage) != self._streams:
            msg = "A topic was recreated, or partitions were added."
            raise TopicChanged(msg, "Run it once more: it resumes and includes them.")
        self._index.follow(self._table.handle)

    def _round(
        self, begin: Mapping[Partition, int], show: ProgressCallback
    ) -> Iterator[ReindexPart]:
        """Yield what `memory` committed beyond `begin`, then wait for the writer."""
        stored = {origin: self._table.stored(origin) for origin in begin}
        until = {o: NEVER_READ if at is None else at for o, at in stored.items()}
        for streams in self._streams:
            yield from self._events(streams, begin, until, show)
        yield from self._episodes(until, show)
        self._filling.reached = until
        before = self._filling.rounds
        yield _empty(Progress(until, complete=True))
        while self._filling.rounds == before:
            yield _empty()

    def _events(
        self,
        streams: TopicStreams,
        begin: Mapping[Partition, int],
        until: Mapping[Partition, int],
        show: ProgressCallback,
    ) -> Iterator[ReindexPart]:
        """Yield the events of a topic."""
        at = {origin: begin[origin] for origin in streams.owned(0, 1)}
        total = left = sum(max(0, until[o] - at[o]) for o in at)
        if not left:
            return
        saved_s = time.monotonic()
        reader = LakeReader(
            self._storage, streams, at, self._settings.memory.poll_events
        )
        try:
            complete = False
            while left and not complete:
                polled = self._retry(reader.poll)
                complete = polled.progress.complete
                read = polled.progress.positions
                at |= {o: min(last, until[o]) for o, last in read.items()}
                left = sum(max(0, until[o] - at[o]) for o in at)
                after = self._filling.reached
                positions: Mapping[Partition, int] = {}
                if time.monotonic() - saved_s >= SAVE_EVERY_S:
                    saved_s = time.monotonic()
                    passed = {o: max(at[o], after[o]) for o in at}
                    positions = self._filling.reached = {**after, **passed}
                no_rows = EPISODE_REVISIONS.empty_table()
                yield ReindexPart(
                    polled.events, no_rows, after, until, Progress(positions)
                )
                show("events", total - left, total)
        finally:
            reader.close()

    def _episodes(
        self, until: Mapping[Partition, int], show: ProgressCallback
    ) -> Iterator[ReindexPart]:
        """Yield the closed episodes that the generation lacks."""
        done = self._filling.episode_ids
        for rows in self._index.closed(until, done):
            done.update(rows["episode_id"].to_pylist())
            yield ReindexPart(EVENTS.empty_table(), rows)
            show("episodes", len(done), len(done))


def _empty(progress: Progress | None = None) -> ReindexPart:
    events, episodes = EVENTS.empty_table(), EPISODE_REVISIONS.empty_table()
    return ReindexPart(events, episodes, progress=progress or Progress())
