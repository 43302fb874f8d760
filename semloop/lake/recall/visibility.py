"""Visibility of memories according to `episodes`, and the outcomes of their episodes.

Memories are written before the commit that makes them visible, so a crash can leave
orphans. A memory of an event is visible up to the offset that the flow has committed,
one of an episode if a closed revision of the episode exists.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from semloop.delta.query import FileQueries
from semloop.delta.snapshot import Snapshot
from semloop.delta.streams import Partition
from semloop.delta.streams_table import StreamsTable
from semloop.delta.table import TableFollower
from semloop.lake import generations

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from semloop.storage.location import Storage

# An outcome is stored as its index in this tuple.
OUTCOMES = (None, "success", "partial", "failure", "unknown")

CLOSED = (
    "SELECT episode_id, revision, outcome, reward FROM rows "
    "WHERE state = 'closed' ORDER BY episode_id, revision"
)


class CommittedEpisodes:
    """The committed state of `episodes`; each refresh reads only new files.

    Args:
        storage: the lake.
        stale_s: maximum age of the state, in seconds; each refresh after that is a
            request to the storage.
    """

    def __init__(self, storage: "Storage", stale_s: float) -> None:
        self._storage, self._stale_s = storage, stale_s
        self._queries = FileQueries(storage)
        self._episodes = TableFollower(
            storage, generations.EPISODES, [generations.GENERATION]
        )
        self._streams = StreamsTable(storage)
        self._refreshed_s = float("-inf")
        self._reset()

    def _reset(self) -> None:
        self._snapshot: Snapshot | None = None
        self._closed = ClosedEpisodes()
        # Partition -> offset up to which memories of events are visible.
        self.offsets: dict[Partition, int] = {}
        self.generation = generations.FIRST_GENERATION

    def close(self) -> None:
        """Close the connection."""
        self._queries.close()

    def refresh(self) -> bool:
        """Bring the state up to date; False if there are no episodes yet.

        Raises:
            LakeError: the lake cannot be read.
            StorageUnavailable: the storage is not available.
        """
        now_s = time.monotonic()
        if self._snapshot is not None and now_s - self._refreshed_s < self._stale_s:
            return True
        snapshot = self._episodes.refresh()
        if snapshot is None:
            self._reset()
            return False
        if snapshot is not self._snapshot:
            self._read(snapshot)
        self._refreshed_s = now_s
        return True

    def is_visible(self, topic_id: str, partition: int, offset: int) -> bool:
        """Return True if the memories of an event are visible."""
        return offset <= self.offsets.get(Partition(topic_id, partition), -1)

    def ends_of(self, episode_ids: Sequence[str]) -> "EpisodeEnds":
        """Return how these episodes ended, in their order."""
        return self._closed.ends_of(episode_ids)

    def with_reward(self, min_reward: float, count_max: int) -> list[str] | None:
        """Return ids of episodes with at least a reward; None if over `count_max`."""
        return self._closed.with_reward(min_reward, count_max)

    def _read(self, snapshot: Snapshot) -> None:
        before = self._snapshot.files.keys() if self._snapshot else set()
        if not before <= snapshot.files.keys():
            # Rewritten or created again: episodes may have been removed.
            self._reset()
            before = set()
        if added := sorted(snapshot.files.keys() - before):
            uris = snapshot.uris(self._storage, added)
            self._closed.add(self._queries.arrow(snapshot.table, uris, CLOSED))
        self._snapshot = self._with_offsets(snapshot)

    def _with_offsets(self, snapshot: Snapshot) -> Snapshot:
        """Read generation and offsets; return the snapshot that has the offsets too."""
        rows = [
            row
            for row in self._streams.rows()
            if (row.stream.flow, row.table) == (generations.FLOW, snapshot.table)
        ]
        snapshot = self._episodes.watch(row.app_id for row in rows) or snapshot
        self.generation = snapshot.transactions.get(
            generations.GENERATION, generations.FIRST_GENERATION
        )
        self.offsets = {}
        for row in rows:
            offset = snapshot.transactions.get(row.app_id, -1)
            # Topic ids are unique across clusters, so the cluster does not matter.
            other = self.offsets.get(row.partition, -1)
            self.offsets[row.partition] = max(offset, other)
        return snapshot


class EpisodeEnds:
    """How episodes ended, one item each: True if closed, outcome, reward."""

    def __init__(
        self,
        closed: "NDArray[Any]",
        outcomes: list[str | None],
        rewards: "NDArray[Any]",
    ) -> None:
        self.closed, self.outcomes, self.rewards = closed, outcomes, rewards


class ClosedEpisodes:
    """Outcome and reward of closed episodes: 33 bytes each, sorted by id."""

    def __init__(self) -> None:
        import numpy as np

        self._ids = np.zeros(0, "S16")
        self._revisions = np.zeros(0, np.int64)
        self._outcomes = np.zeros(0, np.int8)
        self._rewards = np.zeros(0, np.float64)
        # Unknown outcomes are appended.
        self._names: list[str | None] = list(OUTCOMES)

    def add(self, rows: "pa.Table") -> None:
        """Add closed revisions; the latest revision of an episode replaces others."""
        import numpy as np

        if not rows.num_rows:
            return
        ids = _packed(rows["episode_id"].to_pylist())
        outcomes = rows["outcome"].to_pylist()
        for name in set(outcomes) - set(self._names):
            self._names.append(name)
        index = {name: i for i, name in enumerate(self._names)}
        ids = np.concatenate([self._ids, ids])
        revisions = np.concatenate([self._revisions, rows["revision"].to_numpy()])
        order = np.lexsort((revisions, ids))
        ids = ids[order]
        last = np.append(ids[1:] != ids[:-1], True)
        kept = order[last]
        self._ids, self._revisions = ids[last], revisions[kept]
        added = np.array([index[name] for name in outcomes], np.int8)
        self._outcomes = np.concatenate([self._outcomes, added])[kept]
        rewards = rows["reward"].to_numpy(zero_copy_only=False).astype(np.float64)
        self._rewards = np.concatenate([self._rewards, rewards])[kept]

    def ends_of(self, episode_ids: Sequence[str]) -> EpisodeEnds:
        """Return how these episodes ended; an unknown reward is NaN."""
        import numpy as np

        ids = _packed(episode_ids)
        if not len(self._ids):
            none = np.zeros(len(ids), bool)
            return EpisodeEnds(none, [None] * len(ids), np.full(len(ids), np.nan))
        at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        closed = self._ids[at] == ids
        outcomes = [
            self._names[self._outcomes[i]] if is_closed else None
            for i, is_closed in zip(at, closed, strict=True)
        ]
        rewards = np.where(closed, self._rewards[at], np.nan)
        return EpisodeEnds(closed, outcomes, rewards)

    def with_reward(self, min_reward: float, count_max: int) -> list[str] | None:
        """Return ids of episodes with at least a reward; None if over `count_max`."""
        ids = self._ids[self._rewards >= min_reward]
        if len(ids) > count_max:
            return None
        # numpy drops trailing zero bytes.
        return [id_.ljust(16, b"\0").hex() for id_ in ids.tolist()]


def _packed(episode_ids: Sequence[str]) -> "NDArray[np.bytes_]":
    """Pack ids of 32 hexadecimal digits into 16 bytes each."""
    import numpy as np

    return np.frombuffer(bytes.fromhex("".join(episode_ids)), "S16")
