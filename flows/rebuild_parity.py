"""`rebuild --verify`: are the episodes those that `events` give? Nothing is written.

The events up to the position of the flow `memory` pass the same steps as in a rebuild,
without texts and vectors.
"""

from collections.abc import Iterator

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from deltalake import DeltaTable

from flows.bytewax_io import ReaderSource, WriterSink
from flows.guard import Guard
from flows.rebuild_input import RebuildInput, rebuild_input
from flows.scheduled import run_to_end
from operators.episodes.assign import assign_episodes
from operators.episodes.sessions import Sessions
from schemas.batches import Assigned, PolledEvents
from schemas.metrics import Metrics
from schemas.rebuild import Parity
from schemas.steps import ProgressCallback
from semloop.delta.snapshot import Snapshot, stored_transactions
from semloop.delta.streams import CAUGHT_UP, NEVER_READ, Partition
from semloop.errors import LakeError
from semloop.flow_registry import REBUILD
from semloop.lake.generations import EPISODES
from semloop.settings import Settings
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from sinks.episode_parity import ParityCheck
from sinks.flow_tables import FlowContext
from sources.lake.event_rounds import EventRounds
from sources.work_items import WorkItems


def verify(
    settings: Settings, show: ProgressCallback = lambda step, done, total: None
) -> Parity:
    """Compare the episodes of the table with those computed from `events`.

    Args:
        settings: the lake and the episode limits.
        show: called with (step, done, total) as work progresses.

    Raises:
        LakeError: the lake has no episodes, or cannot be read.
        Terminal: retention removed events meanwhile.
        TopicChanged: partitions were added after the start.
        StorageUnavailable: storage did not answer within `storage_retry_s`.
    """
    context = FlowContext(settings, Storage.of(settings), Metrics())
    with rebuild_input(context) as found:
        if found.handle is None:
            msg = f"The lake {settings.lake} has no episodes yet."
            raise LakeError(msg, "Start the flow that writes them with `semloop up`.")
        worker = _Worker(context, found, found.handle, show)
        run_to_end(lambda guard: _dataflow(worker, guard))
        found.check()
        return worker.check.result()


class _Worker:
    """State shared by source, steps and sink."""

    def __init__(
        self,
        context: FlowContext,
        found: RebuildInput,
        handle: DeltaTable,
        show: ProgressCallback,
    ) -> None:
        self.input = found
        self.sessions: dict[Partition, Sessions] = found.sessions()
        storage = context.storage
        with storage_errors(storage, f"read table {EPISODES}"):
            uris = Snapshot.of(EPISODES, handle).uris(storage)
        ids = found.carried.ids
        self.check = ParityCheck(storage, found.fold, uris, found.plan.held, ids)
        self._handle = handle
        self._rounds = EventRounds(
            context.settings, storage, found.streams, found.plan.held.rows, show
        )

    def open_reader(
        self, worker_index: int, worker_count: int
    ) -> WorkItems[PolledEvents]:
        return WorkItems(iter(()) if worker_index else self._items())

    def _items(self) -> Iterator[PolledEvents]:
        streams = self.input.memory_streams
        app_ids = {p: streams.app_id(EPISODES, p) for p in self.input.owned}
        wanted = [name + kind for name in app_ids.values() for kind in ("", CAUGHT_UP)]
        stored = stored_transactions(self._handle, wanted)
        until = {p: stored.get(name, NEVER_READ) for p, name in app_ids.items()}
        times = {
            p: stored[name + CAUGHT_UP]
            for p, name in app_ids.items()
            if name + CAUGHT_UP in stored
        }
        yield from self._rounds.until(until, times)


def _dataflow(worker: _Worker, guard: Guard) -> Dataflow:
    def skip_poll(polled: PolledEvents) -> PolledEvents:
        return worker.input.carried.without_theirs(polled)

    def assign_poll(polled: PolledEvents) -> Assigned:
        return assign_episodes(polled, worker.sessions, worker.input.replaced)

    dataflow = Dataflow(f"{REBUILD.name}-verify")
    source = ReaderSource(worker.open_reader, guard=guard.poll)
    polls = op.input("events", dataflow, source)
    # PolledEvents(events=1,000 rows of `events`, progress={("<topic id>", 0): 1041})
    computed = op.map("skip", polls, guard.step(skip_poll))
    # PolledEvents(events=990 rows that are in no episode that is carried over)
    assigned = op.map("assign", computed, guard.step(assign_poll))
    # Assigned(episodes=60 new revisions)
    op.output("fold", assigned, WriterSink(lambda index: worker.check, guard.step))
    return dataflow
