"""Rows that the flow `memory` polled since its last commit."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from schemas.arrow import EPISODE_REVISIONS
from schemas.batches import Vectored
from semloop.delta.streams import Partition
from sinks.read_buffer import ReadBuffer


class MemoryBuffer(ReadBuffer):
    """Memories, revisions and positions of the polls that wait for one commit."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped: Counter[str] = Counter()
        self._memories: list[pa.Table] = []
        self._episodes: list[pa.Table] = []

    def add(self, vectored: Vectored, committed: Mapping[Partition, int]) -> None:
        """Add a poll to the buffer.

        Args:
            vectored: the poll.
            committed: as `advance`.
        """
        self.advance(vectored.progress, committed)
        self.skipped.update(vectored.skipped)
        if vectored.memories.num_rows:
            self._memories.append(vectored.memories)
        if vectored.episodes.num_rows:
            self._episodes.append(vectored.episodes)
        rows = vectored.memories.num_rows + vectored.episodes.num_rows
        if rows:  # `nbytes` of empty tables would take longer than the rest.
            self.rows += rows
            self.bytes += vectored.memories.nbytes + vectored.episodes.nbytes

    def memories(self) -> pa.Table | None:
        """Return all memories, without `writer`; None if the buffer has no memories."""
        return pa.concat_tables(self._memories) if self._memories else None

    def episodes(self) -> pa.Table:
        """Return the newest revision of each episode, as `EPISODE_REVISIONS`."""
        rows = pa.concat_tables([EPISODE_REVISIONS.empty_table(), *self._episodes])
        # Revisions are in order: the last row of each id is the newest.
        ids = rows["episode_id"].to_pylist()
        last = {episode_id: row for row, episode_id in enumerate(ids)}
        return rows.take(pa.array(np.fromiter(last.values(), np.int64, len(last))))
