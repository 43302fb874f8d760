"""`events`, `episodes` -> all that a new generation of memories is made of, in rounds.

Each round goes up to where the flow `memory` was when it began, so a round is shorter
than the one before, until nobody else commits during one.
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
from semloop.lake.generations import generation_of
from semloop.retry import retry
from semloop.settings import Settings
from semloop.storage.location import Storage
from sources.lake.episode_index import KnownEpisodes
from sources.lake.reader import LakeReader
from sources.lake.streams import TopicStreams

# A round without much to do takes a part of the time between two commits of `memory`.
ROUNDS_MAX = 100
# How much is done again at most by who goes on after a death.
NOTED_EVERY_S = 30.0

R = TypeVar("R")


class EpisodesTable(Protocol):
    """Table `episodes` at the version that a round is about."""

    @property
    def handle(self) -> DeltaTable:
        """The version."""

    def refresh(self) -> None:
        """Open the newest version."""

    def stored(self, partition: Partition) -> int | None:
        """The last offset that `memory` has committed."""


class Rounds:
    """Reads what a new generation lacks, until the generation is switched to.

    Unit of parallelism: none, all partitions are read by one. Guarantee after a crash:
    reading goes on behind the positions that the writer noted.
    """

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        streams: Sequence[TopicStreams],
        episodes: EpisodesTable,
        known: KnownEpisodes,
        filling: Filling,
    ) -> None:
        """Nothing is read yet; `items` does.

        Args:
            settings: events a poll, how long to try again.
            storage: the lake.
            streams: all topics of the lake.
            episodes: table `episodes`, whose newest version each round opens.
            known: the episodes of that version, for the step that places events.
            filling: how far the generation is.
        """
        self._settings = settings
        self._storage = storage
        self._streams = streams
        self._table = episodes
        self._known = known
        self._filling = filling

    def items(self, show: ProgressCallback) -> Iterator[ReindexPart]:
        """All rounds; items without rows where the writer has to catch up.

        Args:
            show: told (step, done, total) of the work, now and then.

        Raises:
            Terminal: `memory` commits faster than this follows, or another `reindex`
                was quicker.
            TopicChanged: there are partitions that were not there at the start.
            LakeError: a table cannot be read.
            StorageUnavailable: not within `storage_retry_s`.
        """
        self._retry(self._follow)
        # Episodes that go on are read from their beginning, for the places of the rest.
        yield from self._round(self._known.beginnings(self._filling.reached), show)
        for _ in range(ROUNDS_MAX):
            self._retry(self._follow)
            yield from self._round(self._filling.reached, show)
            if self._filling.switched:
                return
        msg = "The flow `memory` commits as fast as this follows."
        todo = "Run it again once `semloop status` shows memory caught up: it goes on."
        raise Terminal(msg, todo)

    def _retry(self, step: Callable[[], R]) -> R:
        seconds = self._settings.commits.storage_retry_s
        return retry(step, on=StorageUnavailable, seconds=seconds)

    def _follow(self) -> None:
        """Look at what `memory` has committed by now."""
        self._table.refresh()
        if generation_of(self._table.handle) >= self._filling.generation:
            msg = "Another `reindex` has switched the memories meanwhile."
            raise Terminal(msg, "Run it once more if theirs are not those you want.")
        if TopicStreams.every(self._storage) != self._streams:
            msg = "A topic was made again or got partitions."
            raise TopicChanged(msg, "Run it once more: it goes on, with them.")
        self._known.follow(self._table.handle)

    def _round(
        self, begin: Mapping[Partition, int], show: ProgressCallback
    ) -> Iterator[ReindexPart]:
        """What is beyond, up to where `memory` is; ends when it has been written."""
        stored = {origin: self._table.stored(origin) for origin in begin}
        until = {o: NEVER_READ if at is None else at for o, at in stored.items()}
        for streams in self._streams:
            yield from self._events(streams, begin, until, show)
        yield from self._episodes(until, show)
        self._filling.reached = until
        before = self._filling.rounds
        yield _nothing(Progress(until, complete=True))
        while self._filling.rounds == before:
            yield _nothing()

    def _events(
        self,
        streams: TopicStreams,
        begin: Mapping[Partition, int],
        until: Mapping[Partition, int],
        show: ProgressCallback,
    ) -> Iterator[ReindexPart]:
        """The events of a topic."""
        at = {origin: begin[origin] for origin in streams.owned(0, 1)}
        total = left = sum(max(0, until[o] - at[o]) for o in at)
        if not left:
            return
        noted_s = time.monotonic()
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
                if time.monotonic() - noted_s >= NOTED_EVERY_S:
                    noted_s = time.monotonic()
                    passed = {o: max(at[o], after[o]) for o in at}
                    positions = self._filling.reached = {**after, **passed}
                none = EPISODE_REVISIONS.empty_table()
                yield ReindexPart(
                    polled.events, none, after, until, Progress(positions)
                )
                show("events", total - left, total)
        finally:
            reader.close()

    def _episodes(
        self, until: Mapping[Partition, int], show: ProgressCallback
    ) -> Iterator[ReindexPart]:
        """The closed episodes that are not in the generation."""
        done = self._filling.episode_ids
        for rows in self._known.closed(until, done):
            done.update(rows["episode_id"].to_pylist())
            yield ReindexPart(EVENTS.empty_table(), rows)
            show("episodes", len(done), len(done))


def _nothing(progress: Progress | None = None) -> ReindexPart:
    events, episodes = EVENTS.empty_table(), EPISODE_REVISIONS.empty_table()
    return ReindexPart(events, episodes, progress=progress or Progress())
