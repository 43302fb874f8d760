"""State shared by source, steps and sink of `reindex`; one worker does all the work."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from operators.episodes.positions import PositionCounter
from operators.memories.embed import VectorCache
from operators.memories.expiry import memory_expiry
from schemas.batches import ReindexPart
from schemas.steps import ProgressCallback
from semloop import layout
from semloop.delta.streams import Partition, Streams
from semloop.embedders.factory import embedder_of
from semloop.errors import LakeError
from semloop.lake.generations import EPISODES, FLOW
from semloop.storage import store_time
from sinks.flow_tables import FlowContext
from sinks.vectors.new_generation import NewGeneration
from sources.lake.episode_index import EpisodeIndex
from sources.lake.rounds import Rounds
from sources.lake.streams import TopicStreams
from sources.work_items import WorkItems


class ReindexWorker:
    """Opens everything in the first poll, so that errors occur in a guarded step."""

    def __init__(self, context: FlowContext, show: ProgressCallback) -> None:
        """Store the arguments; open nothing yet.

        Args:
            context: settings, lake and metrics.
            show: called with (step, done, total) as work progresses.
        """
        self._context = context
        self._show = show
        self.cache = VectorCache(context.settings.embedding.cache_texts)
        self.known = EpisodeIndex(context.storage)
        self.position_counters: dict[Partition, PositionCounter] = {}
        self.today: date | None = None

    def open_reader(
        self, worker_index: int, worker_count: int
    ) -> WorkItems[ReindexPart]:
        """Return the reader of a worker; only the first worker gets work."""
        return WorkItems(iter(()) if worker_index else self._items())

    def _items(self) -> Iterator[ReindexPart]:
        settings, storage = self._context.settings, self._context.storage
        layout.check(storage)
        streams = TopicStreams.every(storage) if storage.has(EPISODES) else []
        if not streams:
            msg = f"The lake {settings.lake} has no episodes yet."
            raise LakeError(msg, "Start the flow that writes them with `semloop up`.")
        self.today = store_time.agreed_date(storage)
        self.embedder = embedder_of(settings)
        owned = [partition for topic in streams for partition in topic.owned(0, 1)]
        self.position_counters.update(
            (partition, PositionCounter()) for partition in owned
        )
        own_streams = Streams.of(
            *(
                replace(stream, flow=FLOW)
                for topic in streams
                for stream in topic.by_topic.values()
            )
        )
        model = (self.embedder.model_id, self.embedder.dimension)
        expiry = memory_expiry(settings.maintenance, self.today)
        self.writer = NewGeneration(
            self._context, own_streams, owned, model, self._show, expiry.sql
        )
        filling = self.writer.begin()
        rounds = Rounds(
            settings, storage, streams, self.writer.episodes, self.known, filling
        )
        yield from rounds.items(self._show)
