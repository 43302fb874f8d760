"""The episodes as recall sees them: which memories are visible, and how they ended.

Memories are written before the commit that makes them visible, so a crash can leave
orphans. A memory of an event is visible up to the offset that the flow has committed,
one of an episode if the episode is closed, or if its row has expired since.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from semloop.lake.recall.features import (
    Features,
    Ints,
    Mask,
    hash_of,
    key_of,
    log_of,
)

# Columns of `episodes` that are read; `users` counts them.
READ = (
    "SELECT episode_id, revision, state = 'closed' AS closed, outcome, reward, "
    "namespace, user_id, len(users) AS users FROM rows"
)
# Codes of users of an episode; others are indexes in the names of users.
NO_USER, SEVERAL_USERS = -1, -2
ROW = np.dtype(
    [
        # As `features.key_of` returns it.
        ("key", "u8"),
        ("id", "S16"),
        ("revision", "i8"),
        ("reward", "f8"),
        ("namespace", "u8"),
        ("user", "i4"),
        ("outcome", "i4"),
        ("closed", "?"),
    ]
)


class Position(NamedTuple):
    """How far the memories of a partition are visible; -1: none are.

    `last_offset`: of events. `expired_offset`: of the rows of `episodes` that
    `maintain retain` has removed; those episodes were closed.
    """

    topic_id: str
    kafka_partition: int
    last_offset: int
    expired_offset: int


@dataclass(frozen=True, slots=True, eq=False)
class Episodes:
    """The newest revision of every episode: 57 bytes each, sorted by key; immutable.

    Attributes:
        rows: `ROW` of each episode.
        outcomes: names of outcomes, by their code.
        users: code of each user id.
        positions: one per partition and cluster.
        generation: the current generation of the memories.
    """

    rows: NDArray[Any] = field(default_factory=lambda: np.zeros(0, ROW))
    outcomes: tuple[str | None, ...] = (None,)
    users: Mapping[str, int] = field(default_factory=dict)
    positions: tuple[Position, ...] = ()
    generation: int = 0

    def with_revisions(self, read: pa.Table) -> Self:
        """Return the state with the rows that `READ` found in new files."""
        if not read.num_rows:
            return self
        outcomes = {name: code for code, name in enumerate(self.outcomes)}
        users = dict(self.users)
        columns = read.to_pydict()
        added = np.zeros(read.num_rows, ROW)
        ids = [bytes.fromhex(id_) for id_ in columns["episode_id"]]
        added["id"], added["key"] = ids, [key_of(id_) for id_ in ids]
        added["revision"] = columns["revision"]
        added["reward"] = [np.nan if r is None else r for r in columns["reward"]]
        added["namespace"] = [hash_of(name) for name in columns["namespace"]]
        added["closed"] = columns["closed"]
        added["outcome"] = [
            outcomes.setdefault(name, len(outcomes)) for name in columns["outcome"]
        ]
        added["user"] = [
            SEVERAL_USERS
            if (count or 0) > 1
            else NO_USER
            if user is None
            else users.setdefault(user, len(users))
            for user, count in zip(columns["user_id"], columns["users"], strict=True)
        ]
        rows = np.concatenate([self.rows, added])
        rows = rows[np.lexsort((rows["revision"], rows["key"]))]
        newest = np.append(rows["key"][1:] != rows["key"][:-1], True)
        return replace(self, rows=rows[newest], outcomes=tuple(outcomes), users=users)

    def index_of(self, keys: NDArray[np.uint64]) -> Ints:
        """Return the index of episodes in `rows`; -1 for an unknown one."""
        if not len(self.rows):
            return np.full(len(keys), -1, np.int64)
        at = np.searchsorted(self.rows["key"], keys)
        at = np.minimum(at, len(self.rows) - 1)
        return np.where(self.rows["key"][at] == keys, at, -1)

    def ends_of(self, found: Ints) -> tuple[list[str | None], list[float | None]]:
        """Return outcome and reward of episodes by index; None while one is open."""
        outcomes: list[str | None] = []
        rewards: list[float | None] = []
        for index in found.tolist():
            row = self.rows[index] if index >= 0 else None
            if row is None or not row["closed"]:
                outcomes.append(None)
                rewards.append(None)
                continue
            reward = float(row["reward"])
            outcomes.append(self.outcomes[row["outcome"]])
            rewards.append(None if np.isnan(reward) else reward)
        return outcomes, rewards

    def visible(self, features: Features, found: Ints) -> Mask:
        """Return which memories are visible; `found` are their episodes' indexes."""
        header = features.header
        last = np.full(len(features), -1, np.int64)
        expired = last.copy()
        for at in self.positions:
            # Topic ids are unique across clusters, so the cluster does not matter.
            own = header["log"] == log_of(at.topic_id, at.kafka_partition)
            last[own] = np.maximum(last[own], at.last_offset)
            expired[own] = np.maximum(expired[own], at.expired_offset)
        seen = np.asarray(header["offset"] <= last, bool)
        is_known = self._values(found, "closed", default=False)
        is_known |= (found < 0) & (header["offset"] <= expired)
        is_episode = header["seq"] < 0
        seen[is_episode] = is_known[is_episode]
        return seen

    def is_of_user(self, found: Ints, user: str) -> Mask:
        """Return which episodes name this user and no other one."""
        # No episode has code -3.
        code = self.users.get(user, -3)
        own: Mask = self._values(found, "user", default=NO_USER) == code
        return own

    def has_reward(self, found: Ints, min_reward: float) -> Mask:
        """Return which episodes are closed with at least this reward."""
        rewards = self._values(found, "reward", default=np.nan)
        closed = self._values(found, "closed", default=False)
        return closed & (rewards >= min_reward)

    def of_user(
        self, user: str, namespace: str | None, count_max: int
    ) -> list[str] | None:
        """Return ids of episodes that name only this user; None if over `count_max`."""
        if user not in self.users:
            return []
        is_own = self.rows["user"] == self.users[user]
        return self._ids(is_own & self._within(namespace), count_max)

    def with_reward(
        self, min_reward: float, namespace: str | None, count_max: int
    ) -> list[str] | None:
        """Return ids of episodes with at least a reward; None if over `count_max`."""
        return self._ids(self._rewarded(min_reward, namespace), count_max)

    def rewarded_count(self, min_reward: float, namespace: str | None) -> int:
        """Return the number of closed episodes with at least a reward."""
        return int(np.count_nonzero(self._rewarded(min_reward, namespace)))

    def count(self, namespace: str | None) -> int:
        """Return the number of episodes of a namespace, or of all of them."""
        return int(np.count_nonzero(self._within(namespace)))

    def _rewarded(self, min_reward: float, namespace: str | None) -> Mask:
        enough: Mask = self.rows["closed"] & (self.rows["reward"] >= min_reward)
        return enough & self._within(namespace)

    def _within(self, namespace: str | None) -> Mask:
        if namespace is None:
            return np.ones(len(self.rows), bool)
        is_own: Mask = self.rows["namespace"] == hash_of(namespace)
        return is_own

    def _ids(self, mask: Mask, count_max: int) -> list[str] | None:
        if np.count_nonzero(mask) > count_max:
            return None
        # numpy drops trailing zero bytes.
        return [id_.ljust(16, b"\0").hex() for id_ in self.rows["id"][mask].tolist()]

    def _values(self, found: Ints, column: str, *, default: Any) -> NDArray[Any]:
        if not len(self.rows):
            return np.full(len(found), default, ROW[column])
        return np.where(found >= 0, self.rows[column][found], default)
