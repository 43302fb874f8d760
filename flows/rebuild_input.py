"""What a rebuild, or its verification, starts from: the lake as it is at the start."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from deltalake import DeltaTable

from operators.episodes.carried import CarriedEpisodes
from operators.episodes.sessions import Sessions
from schemas.rebuild import Held, Plan
from semloop import layout
from semloop.delta.streams import Partition, Streams
from semloop.errors import LakeError, StorageUnavailable, Terminal, TopicChanged
from semloop.lake.generations import EPISODES, FIRST_GENERATION, FLOW, generation_of
from semloop.retry import retry
from semloop.storage.errors import storage_errors
from semloop.storage.scratch import scratch_folder
from sinks.episode_fold import EpisodeFold
from sinks.flow_tables import FlowContext
from sinks.vectors.carried_memories import CarriedMemories
from sources.lake.held_events import carried_episodes, count_episodes, held_events
from sources.lake.streams import TopicStreams


class RebuildInput:
    """The streams, the rows that `events` has, and the episodes that begin before them.

    Attributes:
        streams: all topics of the lake.
        owned: all partitions.
        handle: table `episodes`; None if it does not exist.
        carried: the episodes that cannot be computed; `fold` has their rows.
        memories: the memories that cannot be made again.
        plan: the counts.
    """

    def __init__(self, context: FlowContext, fold: EpisodeFold) -> None:
        """Read what the lake has; nothing is written.

        Raises:
            LakeError: the lake has no events, or cannot be read.
            StorageUnavailable: storage did not recover within `storage_retry_s`.
        """
        self._context = context
        self.fold = fold
        settings, storage = context.settings, context.storage
        layout.check(storage)
        self.streams = self._read_streams()
        if not self.streams:
            msg = f"The lake {settings.lake} has no events yet."
            raise LakeError(msg, "Start the flow that writes them with `semloop up`.")
        self.owned = [p for topic in self.streams for p in topic.owned(0, 1)]
        held = self._held()
        self.carried = CarriedEpisodes(held)
        with storage_errors(storage, f"read table {EPISODES}"):
            self.handle = storage.open(EPISODES) if storage.has(EPISODES) else None
        episodes = self._carry(self.handle, held) if self.handle else 0
        self.memories = CarriedMemories(
            storage,
            generation_of(self.handle) if self.handle else FIRST_GENERATION,
            self.carried.has_memory,
            settings.commits.storage_retry_s,
        )
        lost = 0 if episodes else sum(held.lost.values())
        self.plan = Plan(held, episodes, len(self.carried.ids), lost)

    @property
    def replaced(self) -> frozenset[str]:
        """Topic ids that receive no more records."""
        return frozenset[str]().union(*(topic.replaced for topic in self.streams))

    @property
    def memory_streams(self) -> Streams:
        """The names of the offsets of the flow `memory`."""
        return Streams.of(
            *(
                replace(stream, flow=FLOW)
                for topic in self.streams
                for stream in topic.by_topic.values()
            )
        )

    def sessions(self) -> dict[Partition, Sessions]:
        """Return the sessions of each partition before its first held event."""
        settings = self._context.settings
        return {
            partition: self.carried.sessions(
                partition, settings.episodes, settings.rewards
            )
            for partition in self.owned
        }

    def require_whole(self) -> None:
        """Raise if something is lost that a rebuild cannot bring back.

        Raises:
            LakeError: `episodes` has no rows, and the first events are gone; or the
                memories are missing, and some cannot be made again.
        """
        if self.plan.lost:
            msg = f"{self.plan.lost:,} offsets have no row in `events` before the first"
            msg += " one that has, and `episodes` has no rows: what they gave is lost."
            raise LakeError(msg, "To rebuild from the others, add --accept-loss.")
        if self.plan.carried and self.memories.count() is None:
            msg = f"The memories of {self.plan.carried:,} episodes whose events are "
            msg += "gone are missing."
            raise LakeError(msg, "To rebuild the others, add --accept-loss.")

    def check(self) -> None:
        """Raise if events that a rebuild was to read were removed meanwhile.

        Raises:
            Terminal: retention removed some.
        """
        if self._held().has_lost(self.plan.held):
            msg = "Retention removed events while they were read."
            raise Terminal(msg, "Run `semloop maintain rebuild` again.")

    def require_same_streams(self) -> None:
        """Raise if the lake has streams that this run does not read.

        Raises:
            TopicChanged: a topic was added or recreated, or partitions were added.
        """
        if self._read_streams() != self.streams:
            msg = "A topic was added or recreated, or partitions were added."
            raise TopicChanged(msg, "Run it once more: it resumes and includes them.")

    def _carry(self, handle: DeltaTable, held: Held) -> int:
        """Collect the episodes to carry over; return the number of all episodes."""
        storage = self._context.storage
        for rows in carried_episodes(storage, handle, held):
            self.carried.add(rows)
            self.fold.add(rows)
        return count_episodes(storage, handle)

    def _read_streams(self) -> Sequence[TopicStreams]:
        return retry(
            lambda: TopicStreams.every(self._context.storage),
            on=StorageUnavailable,
            seconds=self._context.settings.commits.storage_retry_s,
        )

    def _held(self) -> Held:
        return retry(
            lambda: held_events(self._context.storage, self.streams),
            on=StorageUnavailable,
            seconds=self._context.settings.commits.storage_retry_s,
        )


@contextmanager
def rebuild_input(context: FlowContext) -> Iterator[RebuildInput]:
    """Open the input of a rebuild; its fold is on the local disk meanwhile."""
    with scratch_folder("semloop-rebuild-") as folder:
        fold = EpisodeFold(folder, context.storage)
        try:
            yield RebuildInput(context, fold)
        finally:
            fold.close()
