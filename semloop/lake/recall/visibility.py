"""What `episodes` says of memories: how far they count, and how their episodes went.

Vectors are written before the commit that makes them count, so a memory may be an
orphan of a crash: one of an event counts up to the offset that the flow has committed,
one of an episode if a closed revision of it exists.
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

# An outcome is kept as its place here.
OUTCOMES = (None, "success", "partial", "failure", "unknown")

CLOSED = (
    "SELECT episode_id, revision, outcome, reward FROM rows "
    "WHERE state = 'closed' ORDER BY episode_id, revision"
)


class CommittedEpisodes:
    """The state of `episodes`, read from its log: only files that are new each time.

    Args:
        storage: the lake.
        stale_s: how old the state may be; each look is a request to the storage.
    """

    def __init__(self, storage: "Storage", stale_s: float) -> None:
        self._storage, self._stale_s = storage, stale_s
        self._queries = FileQueries(storage)
        self._episodes = TableFollower(
            storage, generations.EPISODES, [generations.GENERATION]
        )
        self._streams = StreamsTable(storage)
        self._looked_s = float("-inf")
        self._forget()

    def _forget(self) -> None:
        self._snapshot: Snapshot | None = None
        self._closed = Closed()
        # Partition -> offset up to which memories of events count.
        self.offsets: dict[Partition, int] = {}
        self.generation = generations.FIRST_GENERATION

    def close(self) -> None:
        """Let go of what is open."""
        self._queries.close()

    def look(self) -> bool:
        """Bring the state up to date; False if there are no episodes yet.

        Raises:
            LakeError: the lake cannot be read. StorageUnavailable: not now.
        """
        now_s = time.monotonic()
        if self._snapshot is not None and now_s - self._looked_s < self._stale_s:
            return True
        snapshot = self._episodes.refresh()
        if snapshot is None:
            self._forget()
            return False
        if snapshot is not self._snapshot:
            self._read(snapshot)
        self._looked_s = now_s
        return True

    def counts(self, topic_id: str, partition: int, offset: int) -> bool:
        """Whether the memories of an event count."""
        return offset <= self.offsets.get(Partition(topic_id, partition), -1)

    def ends_of(self, episode_ids: Sequence[str]) -> "Ends":
        """How these episodes ended, in their order."""
        return self._closed.ends_of(episode_ids)

    def rewarded(self, least: float, count_max: int) -> list[str] | None:
        """Ids of the episodes of at least such a reward; None if there are too many."""
        return self._closed.rewarded(least, count_max)

    def _read(self, snapshot: Snapshot) -> None:
        before = self._snapshot.files.keys() if self._snapshot else set()
        if not before <= snapshot.files.keys():
            # Rewritten or made again: what is known may be gone.
            self._forget()
            before = set()
        if added := sorted(snapshot.files.keys() - before):
            uris = snapshot.uris(self._storage, added)
            self._closed.add(self._queries.arrow(snapshot.table, uris, CLOSED))
        self._snapshot = self._with_offsets(snapshot)

    def _with_offsets(self, snapshot: Snapshot) -> Snapshot:
        """Read generation and offsets; the snapshot that has the offsets too."""
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
            # Another cluster of the same topic would be another topic id.
            found = self.offsets.get(row.partition, -1)
            self.offsets[row.partition] = max(offset, found)
        return snapshot


class Ends:
    """How episodes ended, one item each: whether they are closed, outcome, reward."""

    def __init__(
        self,
        closed: "NDArray[Any]",
        outcomes: list[str | None],
        rewards: "NDArray[Any]",
    ) -> None:
        self.closed, self.outcomes, self.rewards = closed, outcomes, rewards


class Closed:
    """Outcome and reward of closed episodes: 33 bytes each, sorted by id."""

    def __init__(self) -> None:
        import numpy as np

        self._ids = np.zeros(0, "S16")
        self._revisions = np.zeros(0, np.int64)
        self._outcomes = np.zeros(0, np.int8)
        self._rewards = np.zeros(0, np.float64)
        # Outcomes that are none of ours get places behind them.
        self._names: list[str | None] = list(OUTCOMES)

    def add(self, rows: "pa.Table") -> None:
        """Put in closed revisions; of several of an episode the latest counts."""
        import numpy as np

        if not rows.num_rows:
            return
        ids = _packed(rows["episode_id"].to_pylist())
        outcomes = rows["outcome"].to_pylist()
        for name in set(outcomes) - set(self._names):
            self._names.append(name)
        place = {name: i for i, name in enumerate(self._names)}
        ids = np.concatenate([self._ids, ids])
        revisions = np.concatenate([self._revisions, rows["revision"].to_numpy()])
        order = np.lexsort((revisions, ids))
        ids = ids[order]
        last = np.append(ids[1:] != ids[:-1], True)
        kept = order[last]
        self._ids, self._revisions = ids[last], revisions[kept]
        added = np.array([place[name] for name in outcomes], np.int8)
        self._outcomes = np.concatenate([self._outcomes, added])[kept]
        rewards = rows["reward"].to_numpy(zero_copy_only=False).astype(np.float64)
        self._rewards = np.concatenate([self._rewards, rewards])[kept]

    def ends_of(self, episode_ids: Sequence[str]) -> Ends:
        """How these episodes ended; a reward that is not known is NaN."""
        import numpy as np

        asked = _packed(episode_ids)
        if not len(self._ids):
            nothing = np.zeros(len(asked), bool)
            return Ends(nothing, [None] * len(asked), np.full(len(asked), np.nan))
        at = np.minimum(np.searchsorted(self._ids, asked), len(self._ids) - 1)
        closed = self._ids[at] == asked
        outcomes = [
            self._names[self._outcomes[i]] if known else None
            for i, known in zip(at, closed, strict=True)
        ]
        return Ends(closed, outcomes, np.where(closed, self._rewards[at], np.nan))

    def rewarded(self, least: float, count_max: int) -> list[str] | None:
        """Ids of those of at least such a reward; None if there are too many."""
        found = self._ids[self._rewards >= least]
        if len(found) > count_max:
            return None
        # numpy drops zero bytes at the end.
        return [id_.ljust(16, b"\0").hex() for id_ in found.tolist()]


def _packed(episode_ids: Sequence[str]) -> "NDArray[np.bytes_]":
    """Ids of 32 hexadecimal digits as 16 bytes each."""
    import numpy as np

    return np.frombuffer(bytes.fromhex("".join(episode_ids)), "S16")
