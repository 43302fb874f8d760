"""State shared by source, steps and sink of `rebuild`; one worker does all the work."""

from collections.abc import Iterator, Mapping
from datetime import date

from flows.rebuild_input import RebuildInput, rebuild_input
from operators.episodes.sessions import Sessions
from operators.memories.embed import VectorCache
from operators.memories.expiry import memory_expiry
from schemas.batches import PolledEvents
from schemas.steps import ProgressCallback
from semloop.delta.streams import Partition
from semloop.embedders.factory import embedder_of
from semloop.storage import store_time
from sinks.flow_tables import FlowContext
from sinks.rebuilt_generation import RebuiltGeneration
from sources.lake.event_rounds import EventRounds
from sources.work_items import WorkItems


class RebuildWorker:
    """Opens everything in the first poll, so that errors occur in a guarded step."""

    input: RebuildInput

    def __init__(
        self, context: FlowContext, show: ProgressCallback, *, accept_loss: bool
    ) -> None:
        """Store the arguments; open nothing yet.

        Args:
            context: settings, lake and metrics.
            show: called with (step, done, total) as work progresses.
            accept_loss: rebuild although `events` and `episodes` together do not have
                everything that the tables were made of.
        """
        self._context = context
        self._show = show
        self._accept_loss = accept_loss
        self.cache = VectorCache(context.settings.embedding.cache_texts)
        self.sessions: dict[Partition, Sessions] = {}
        self.reached: Mapping[Partition, int] = {}
        self.today: date | None = None

    def open_reader(
        self, worker_index: int, worker_count: int
    ) -> WorkItems[PolledEvents]:
        """Return the reader of a worker; only the first worker gets work."""
        return WorkItems(iter(()) if worker_index else self._items())

    def _items(self) -> Iterator[PolledEvents]:
        with rebuild_input(self._context) as found:
            self.input = found
            if not self._accept_loss:
                found.require_whole()
            self.today = store_time.agreed_date(self._context.storage)
            self.writer = self._writer(found)
            filling = self.writer.start(
                found.fold, found.memories, found.check, found.require_same_streams
            )
            self.reached = dict(filling.reached)
            self.sessions.update(found.sessions())
            context, rows = self._context, found.plan.held.rows
            rounds = EventRounds(
                context.settings, context.storage, found.streams, rows, self._show
            )
            yield from rounds.rounds(filling)
            self.writer.rebuilt.events = rounds.read
            self.writer.rebuilt.carried = found.plan.carried

    def _writer(self, found: RebuildInput) -> RebuiltGeneration:
        self.embedder = embedder_of(self._context.settings)
        model = (self.embedder.model_id, self.embedder.dimension)
        expiry = memory_expiry(self._context.settings.maintenance, self.today)
        return RebuiltGeneration(
            self._context, found.memory_streams, found.owned, model, self._show,
            expiry.sql,
        )  # fmt: skip
