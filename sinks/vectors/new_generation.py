"""A new generation of memories: a separate table, filled while `memory` is running.

The last commit fences off `memory` and switches all readers and writers to the new
table. An interrupted run resumes where it stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import pyarrow as pa

from schemas.arrow import memories
from schemas.batches import Vectored
from schemas.filling import Filling
from schemas.steps import ProgressCallback
from semloop.delta.streams import NEVER_READ, Partition, Streams
from semloop.errors import LakeError, StorageUnavailable, TakenOver
from semloop.flow_registry import REINDEX
from semloop.lake.generations import EPISODES, GENERATION
from semloop.retry import retry
from sinks.delta.fenced_table import FencedTable
from sinks.delta.reindex_positions import ReindexPositions
from sinks.delta.stored_generation import newest_generation
from sinks.flow_tables import FlowContext
from sinks.vectors.expired_memories import NONE, remove_expired
from sinks.vectors.maintenance import maintain
from sinks.vectors.table import NAME, VectorTable

# Lower than the epochs of the flow's writers, so that each of them may replace the row.
REINDEX_WRITER = 0


@dataclass
class Report:
    """Result of a run: `memories` written, and texts `skipped` by the settings."""

    generation: int
    model: str
    memories: int = 0
    skipped: int = 0


class NewGeneration:
    """Writes the memories of a new generation, and switches to it.

    Unit of parallelism: none; one writer for all partitions. Guarantee: each memory is
    stored once, by its id. Readers and the flow `memory` use the old generation until
    one commit switches them; that commit fails if `memory` has committed since the
    round began.
    """

    # The flow that fills it.
    flow = REINDEX.name

    def __init__(
        self,
        context: FlowContext,
        streams: Streams,
        owned: Sequence[Partition],
        model: tuple[str, int],
        show: ProgressCallback,
        expired: str = NONE,
    ) -> None:
        """Open table `episodes`; `begin` creates the generation.

        Args:
            context: settings and lake.
            streams: all streams of the lake; they name the offsets in `episodes`.
            owned: all partitions.
            model: id of the embedder's model, and the length of its vectors.
            show: called with (step, done, total) during maintenance of the new table.
            expired: the condition of the memories that have expired, in Lance's SQL.

        Raises:
            StorageUnavailable: storage did not recover within `storage_retry_s`.
        """
        self._context = context
        self._streams = streams
        self._owned = tuple(owned)
        self._show = show
        self._expired = expired
        self._model, self._dimension = model
        self._schema = memories(self._dimension, self._model)
        self._retry_s = context.settings.commits.storage_retry_s
        self.episodes = retry(
            self._open_episodes, on=StorageUnavailable, seconds=self._retry_s
        )

    def begin(self) -> Filling:
        """Create a generation, or resume one that was started with the same settings.

        Raises:
            LakeError: the table cannot be created.
            StorageUnavailable: storage did not recover within `storage_retry_s`.
        """
        generation = newest_generation(self.episodes, self._retry_s)
        while True:
            generation += 1
            self._open(generation)
            reached = self._positions.read()
            # Skip a number whose table was removed meanwhile, or whose table was filled
            # with other settings.
            if (reached is not None) == self._vectors.exists():
                break
        self._vectors.open()
        if reached is None:
            reached = dict.fromkeys(self._owned, NEVER_READ)
            self._positions.write(reached)
        self.report = Report(generation, self._model)
        self._filling = Filling(generation, reached, self._vectors.episode_ids())
        return self._filling

    def add(self, item: Vectored) -> None:
        """Write the memories of an item; at the end of a round, try to switch.

        The first round ends with maintenance of the table instead, so that searches are
        fast right after the switch.

        Raises:
            LakeError: the table was removed.
            StorageUnavailable: storage did not recover within `storage_retry_s`.
        """
        self.report.skipped += sum(item.skipped.values())
        if item.memories.num_rows:
            self._write(item.memories)
        first = not self._filling.rounds
        if item.progress.positions and (first or not item.progress.complete):
            self._positions.write(item.progress.positions)
        if not item.progress.complete:
            return
        if first:
            self._maintain()
        else:
            self._filling.switched = self._switch()
        self._filling.rounds += 1

    def _maintain(self) -> None:
        storage, generation = self._context.storage, self._filling.generation
        # What `retain` would remove again must not be recalled after the switch.
        counts_max = self._context.settings.maintenance.memories_max
        remove_expired(storage, generation, self._expired, counts_max, self._retry_s)
        maintain(storage, generation, self._show, self._retry_s)

    def _write(self, rows: pa.Table) -> None:
        writers = pa.repeat(pa.scalar(REINDEX_WRITER, pa.int64()), rows.num_rows)
        memories = rows.append_column("writer", writers)
        self._vectors.merge(memories.select(self._schema.names).cast(self._schema))
        self.report.memories += rows.num_rows

    def _switch(self) -> bool:
        """Try to switch to the new memories; False if another writer has committed."""
        self._require_memories()
        epochs = {p: 1 + self.episodes.epoch(p) for p in self._owned}
        try:
            return self.episodes.take(epochs, {GENERATION: self._filling.generation})
        except (StorageUnavailable, TakenOver):
            # The commit may have succeeded, and `memory` may have committed after it.
            found = newest_generation(self.episodes, self._retry_s)
            return found == self._filling.generation

    def _require_memories(self) -> None:
        if not self._vectors.exists():
            msg = "The new memories were removed while they were written."
            raise LakeError(msg, f"Run `semloop maintain {self.flow}` again.")

    def _open_episodes(self) -> FencedTable:
        return self._context.fenced_table(
            EPISODES, self._streams, self._owned, lambda table, cause: None
        )

    def _open(self, generation: int) -> None:
        storage = self._context.storage
        self._positions = ReindexPositions(
            storage, self._streams.by_topic_id, self._owned,
            f"{self.flow}/{generation}/{self._fingerprint()}", self._retry_s,
        )  # fmt: skip
        self._vectors = VectorTable(
            storage, generation, self._dimension, self._model, self._retry_s
        )

    def _fingerprint(self) -> str:
        """Hash everything except the events that the content of memories depends on."""
        text = repr((self._schema.names, self._schema.metadata, self._policy()))
        return blake2b(text.encode(), digest_size=8).hexdigest()

    def _policy(self) -> tuple[object, ...]:
        """Return the settings that memories depend on."""
        settings = self._context.settings
        memory, kept = settings.memory, settings.maintenance
        return (
            memory.kinds,
            memory.importance_min,
            sorted(memory.sample.items()),
            # What one run has left out as expired, the next one may have to keep.
            sorted(
                (key, days)
                for key, days in kept.retention.items()
                if key.partition("/")[0] == NAME
            ),
            sorted(kept.memories_max.items()),
            sorted(kept.memories_importance_min.items()),
        )
