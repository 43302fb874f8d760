"""What source, steps and sink of `reindex` share: one worker does all of it."""

from collections.abc import Iterator
from dataclasses import replace

from operators.episodes.positions import Replay
from operators.memories.embed import VectorCache
from schemas.batches import Anew
from schemas.steps import Show
from semloop.delta.streams import Partition, Streams
from semloop.embedders.factory import embedder_of
from semloop.errors import LakeError
from semloop.lake.generations import EPISODES, FLOW
from sinks.flow_tables import FlowContext
from sinks.vectors.new_generation import NewGeneration
from sources.lake.episode_index import EpisodeIndex
from sources.lake.rounds import Rounds
from sources.lake.streams import TopicStreams
from sources.work_items import WorkItems


class ReindexWorker:
    """Opens everything at the first poll, so that errors arise in a guarded step."""

    def __init__(self, context: FlowContext, show: Show) -> None:
        """Nothing is opened yet.

        Args:
            context: settings, lake and metrics.
            show: told (step, done, total) of the work, now and then.
        """
        self._context = context
        self._show = show
        self.cache = VectorCache(context.settings.embedding.cache_texts)
        self.known = EpisodeIndex(context.storage)
        self.replays: dict[Partition, Replay] = {}

    def open_reader(self, worker_index: int, worker_count: int) -> WorkItems[Anew]:
        """The reader of a worker; the first one has everything."""
        return WorkItems(iter(()) if worker_index else self._items())

    def _items(self) -> Iterator[Anew]:
        settings, storage = self._context.settings, self._context.storage
        streams = TopicStreams.every(storage) if storage.has(EPISODES) else []
        if not streams:
            msg = f"The lake {settings.lake} has no episodes yet."
            raise LakeError(msg, "Start the flow that makes them: `semloop up`.")
        self.embedder = embedder_of(settings)
        owned = [partition for topic in streams for partition in topic.owned(0, 1)]
        self.replays.update((partition, Replay()) for partition in owned)
        own = Streams.of(
            *(
                replace(stream, flow=FLOW)
                for topic in streams
                for stream in topic.by_topic.values()
            )
        )
        model = (self.embedder.model_id, self.embedder.dimension)
        self.writer = NewGeneration(self._context, own, owned, model, self._show)
        filling = self.writer.begin()
        rounds = Rounds(
            settings, storage, streams, self.writer.episodes, self.known, filling
        )
        yield from rounds.items(self._show)
