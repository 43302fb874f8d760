"""What the flow `memory` polled since its last commit."""

from collections import Counter

import numpy as np
import pyarrow as pa

from schemas.arrow import EPISODE_REVISIONS
from schemas.batches import Standing, Vectored
from semloop.delta.streams import Origin


class MemoryBuffer:
    """Memories, revisions and positions of the polls that wait for one commit."""

    def __init__(self) -> None:
        self.since_s = 0.0
        self.rows = 0
        self.bytes = 0
        self.positions: dict[Origin, int] = {}
        self.standings: dict[Origin, Standing] = {}
        self.skipped: Counter[str] = Counter()
        self._memories: list[pa.Table] = []
        self._episodes: list[pa.Table] = []

    @property
    def moved(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.positions or self.rows)

    def add(
        self, vectored: Vectored, positions: dict[Origin, int], now_s: float
    ) -> None:
        """Keep a poll.

        Args:
            vectored: the poll.
            positions: those of its positions that are news.
            now_s: the time; `since_s` is that of the first poll with anything to say.
        """
        windowed = vectored.windowed
        rows = vectored.memories.num_rows + windowed.episodes.num_rows
        if not self.moved and (positions or rows):
            self.since_s = now_s
        self.positions |= positions
        self.standings |= windowed.standings
        self.skipped.update(vectored.skipped)
        if vectored.memories.num_rows:
            self._memories.append(vectored.memories)
        if windowed.episodes.num_rows:
            self._episodes.append(windowed.episodes)
        if rows:  # To add up the columns of empty tables takes longer than all of it.
            self.rows += rows
            self.bytes += vectored.memories.nbytes + windowed.episodes.nbytes

    def memories(self) -> pa.Table | None:
        """All memories, without their writer; None if there are none."""
        return pa.concat_tables(self._memories) if self._memories else None

    def episodes(self) -> pa.Table:
        """The newest revision of each episode, as `EPISODE_REVISIONS`."""
        rows = pa.concat_tables([EPISODE_REVISIONS.empty_table(), *self._episodes])
        # Later revisions come later: the last row of each id is the newest.
        ids = rows["episode_id"].to_pylist()
        last = {episode_id: place for place, episode_id in enumerate(ids)}
        return rows.take(pa.array(np.fromiter(last.values(), np.int64, len(last))))
