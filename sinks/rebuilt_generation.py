"""A new generation of memories and of episodes, filled while `memory` is running.

Memories go into the next LanceDB table, revisions of episodes into a fold on the local
disk. After the first round the closed episodes are written to files of `episodes` that
no version has; each later round writes the others, and tries to switch to all of them.
"""

import json
import time
from collections.abc import Callable, Sequence

import pyarrow as pa
from deltalake.transaction import AddAction
from typing_extensions import override

from schemas.batches import Vectored
from schemas.filling import Filling
from schemas.rebuild import RebuildReport
from schemas.steps import ProgressCallback
from semloop.delta.streams import NEVER_READ, Partition, Streams
from semloop.errors import StorageUnavailable
from semloop.flow_registry import REBUILD
from semloop.lake.generations import EPISODES
from semloop.retry import retry
from sinks.delta.create_table import create
from sinks.delta.fenced_table import FencedTable
from sinks.delta.streams_table import register
from sinks.episode_fold import EpisodeFold, write_dated
from sinks.episode_switch import EpisodeSwitch
from sinks.flow_tables import FlowContext
from sinks.vectors.carried_memories import CarriedMemories
from sinks.vectors.expired_memories import NONE
from sinks.vectors.new_generation import NewGeneration

# Bounds the texts that a run after a crash embeds again.
SAVE_EVERY_S = 30.0


class RebuiltGeneration(NewGeneration):
    """Writes a new generation of both tables, and switches to it.

    Unit of parallelism: none; one writer for all partitions. Guarantee: each memory is
    stored once, by its id. Readers and the flow `memory` use the old generation of both
    until one log entry switches them; it succeeds unless `memory` has read more.
    """

    flow = REBUILD.name

    def __init__(
        self,
        context: FlowContext,
        streams: Streams,
        owned: Sequence[Partition],
        model: tuple[str, int],
        show: ProgressCallback,
        expired: str = NONE,
    ) -> None:
        """Create table `episodes` if it is absent; `start` creates the generation.

        Arguments and errors as of `NewGeneration`.
        """
        super().__init__(context, streams, owned, model, show, expired)
        self._offsets = dict.fromkeys(self._owned, NEVER_READ)
        self._caught_up_ms: dict[Partition, int] = {}
        self._base: list[AddAction] = []
        self._saved_s = time.monotonic()

    def start(
        self,
        fold: EpisodeFold,
        carried: CarriedMemories,
        check: Callable[[], None],
        same_streams: Callable[[], None],
    ) -> Filling:
        """Create a generation, or resume one that was started with the same settings.

        Args:
            fold: receives the revisions of episodes; it has those that are carried.
            carried: the memories to copy.
            check: called after the first round; raises if events that it should have
                read were removed meanwhile.
            same_streams: called before each switch; raises if streams were added.
        """
        self._fold, self._carried, self._check = fold, carried, check
        # Before hours of work.
        carried.require_same(self._copied_schema)
        filling = self.begin()
        self.rebuilt = RebuildReport(filling.generation, self._model)
        self._switcher = EpisodeSwitch(
            self._context.storage, self.episodes, self._streams, filling.generation,
            same_streams, self._retry_s,
        )  # fmt: skip
        return filling

    @override
    def add(self, item: Vectored) -> None:
        """Write the memories of an item; at the end of a round, try to switch.

        Raises:
            LakeError: the table was removed. Terminal: another run has switched.
            TopicChanged: partitions or topics were added.
            StorageUnavailable: storage did not recover within `storage_retry_s`.
        """
        progress = item.progress
        self.rebuilt.skipped += sum(item.skipped.values())
        self._fold.add(item.episodes)
        if item.memories.num_rows:
            self._write(item.memories)
        for partition, offset in progress.positions.items():
            self._offsets[partition] = max(offset, self._offsets[partition])
        if progress.complete:
            self._caught_up_ms |= progress.caught_up_ms
        if time.monotonic() - self._saved_s >= SAVE_EVERY_S:
            self._save()
        if not progress.last:
            return
        if not self._filling.rounds:
            self._finish_first_round()
        else:
            self._filling.switched = self._switch()
        self._filling.rounds += 1

    @property
    def _copied_schema(self) -> pa.Schema:
        return self._schema.remove(self._schema.get_field_index("writer"))

    def _save(self) -> None:
        """Store how far memories are written, never less than an earlier run did."""
        reached = self._filling.reached
        at = {p: max(offset, reached[p]) for p, offset in self._offsets.items()}
        self._positions.write(at)
        self._saved_s = time.monotonic()

    def _finish_first_round(self) -> None:
        self._check()
        self._save()
        self._show("carried", 0, 1)
        copied = self._carried.copy(self._copied_schema, self._write)
        self.rebuilt.carried_memories = copied
        self._show("carried", 1, 1)
        self._maintain()
        self._base = self._files(closed=True)
        self._fold.keep_open()

    def _files(self, *, closed: bool) -> list[AddAction]:
        """Write files of the newest revisions that are in no file yet."""
        self._show("episodes", 0, 1)
        retry(self.episodes.refresh, on=StorageUnavailable, seconds=self._retry_s)
        number = self.episodes.handle.version() + 1
        rows = self._fold.newest(closed=closed)
        files = write_dated(self._context.storage, rows, number, self._retry_s)
        self._show("episodes", 1, 1)
        return files

    @override
    def _switch(self) -> bool:
        self._require_memories()
        files = [*self._base, *self._files(closed=False)]
        self.rebuilt.episodes = sum(_rows(file) for file in files)
        self.rebuilt.memories = self.report.memories
        return self._switcher.replace_by(files, self._offsets, self._caught_up_ms)

    @override
    def _open_episodes(self) -> FencedTable:
        storage = self._context.storage
        create(storage, EPISODES)
        for topic_id, stream in self._streams.by_topic_id.items():
            numbers = [p.number for p in self._owned if p.topic_id == topic_id]
            # `archive` already decided whether this cluster's topic may be stored here.
            now = self._context.now()
            register(storage, stream, (EPISODES,), numbers, now, new_log=True)
        return super()._open_episodes()

    @override
    def _policy(self) -> tuple[object, ...]:
        # The text before an event, and the text of an episode, depend on its bounds.
        settings = self._context.settings
        return (*super()._policy(), repr(settings.episodes), repr(settings.rewards))


def _rows(file: AddAction) -> int:
    count: int = json.loads(file.stats)["numRecords"]
    return count
