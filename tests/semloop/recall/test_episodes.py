"""Which memories are visible, according to the offsets and rows of `episodes`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from semloop.delta.query import FileQueries
from semloop.lake import generations
from semloop.lake.recall.episode_follower import EpisodeFollower
from semloop.lake.recall.features import HEADER, STEM, Features, key_of, log_of
from semloop.settings import load
from semloop.storage.location import Storage
from sinks.compaction.log_entry import Outcome
from sinks.delta.streams_table import register
from tests.semloop.recall.a_memory_lake import (
    LOG,
    NOON,
    a_memory_lake,
    a_message,
    closed,
    episode_id,
)
from tests.sinks.compacting import compact


def visible(
    follower: EpisodeFollower, memories: list[tuple[str, int | None]]
) -> list[bool]:
    """Return which memories are visible: events at offsets, or of episode `a`."""
    header = np.zeros(len(memories), HEADER)
    header["log"] = log_of(LOG.topic_id, 0)
    header["episode"] = key_of(bytes.fromhex(episode_id("a")))
    header["seq"] = [-1 if offset is None else 0 for _, offset in memories]
    header["offset"] = [offset or 0 for _, offset in memories]
    none = np.zeros(len(memories), np.int64)
    features = Features(header, np.zeros(0, STEM), none, none, none)
    episodes = follower.episodes()
    assert episodes is not None
    found = episodes.index_of(header["episode"])
    seen: list[bool] = episodes.visible(features, found).tolist()
    return seen


def test_a_cluster_without_commits_does_not_hide_memories_of_its_topic(
    tmp_path: Path,
) -> None:
    storage = Storage.of(load(lake=str(tmp_path)))
    for cluster in ("cluster-0", LOG.cluster_id, "cluster-2"):
        stream = replace(LOG, cluster_id=cluster)
        register(storage, stream, (generations.EPISODES,), [0], NOON, new_log=True)
    a_memory_lake(tmp_path, a_message("one"), a_message("two"))
    follower = EpisodeFollower(storage, stale_s=0)
    assert visible(follower, [("one", 0), ("two", 1), ("three", 2)]) == [
        True, True, False,
    ]  # fmt: skip
    follower.close()


def test_an_episode_that_a_rewrite_removed_is_no_longer_closed(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path, a_message("one"), episodes=[closed("a")])
    follower = EpisodeFollower(lake.storage, stale_s=0)
    for is_closed in (True, False):
        assert visible(follower, [("episode", None)]) == [is_closed]
        lake.storage.open(generations.EPISODES).delete("state = 'closed'")
    follower.close()


def test_a_compaction_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = a_memory_lake(tmp_path, a_message("one"), episodes=[closed("a")])
    follower = EpisodeFollower(lake.storage, stale_s=0)
    assert visible(follower, [("episode", None)]) == [True]
    lake.commit(closed("b"))
    assert visible(follower, [("episode", None)]) == [True]
    read: list[str] = []
    real = FileQueries.arrow

    def arrow(
        self: FileQueries, table: str, uris: Sequence[str], query: str
    ) -> pa.Table:
        read.extend(uris)
        return real(self, table, uris, query)

    assert compact(lake.storage, generations.EPISODES) == [Outcome.COMMITTED]
    monkeypatch.setattr(FileQueries, "arrow", arrow)
    assert visible(follower, [("episode", None)]) == [True]
    assert read == []
    follower.close()
