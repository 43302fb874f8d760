"""Which memories are visible, according to the offsets and rows of `episodes`."""

from dataclasses import replace
from pathlib import Path

from semloop.lake import generations
from semloop.lake.recall.visibility import CommittedEpisodes
from semloop.settings import load
from semloop.storage.location import Storage
from sinks.delta.streams_table import register
from tests.semloop.recall.a_memory_lake import (
    LOG,
    NOON,
    a_memory_lake,
    a_message,
    closed,
    episode_id,
)


def test_a_cluster_without_commits_does_not_hide_memories_of_its_topic(
    tmp_path: Path,
) -> None:
    storage = Storage.of(load(lake=str(tmp_path)))
    for cluster in ("cluster-0", LOG.cluster_id, "cluster-2"):
        stream = replace(LOG, cluster_id=cluster)
        register(storage, stream, (generations.EPISODES,), [0], NOON, new_log=True)
    a_memory_lake(tmp_path, a_message("one"), a_message("two"))
    episodes = CommittedEpisodes(storage, stale_s=0)
    assert episodes.refresh()
    assert episodes.is_visible(LOG.topic_id, 0, 1)
    assert not episodes.is_visible(LOG.topic_id, 0, 2)
    episodes.close()


def test_an_episode_that_a_rewrite_removed_is_no_longer_closed(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path, a_message("one"), episodes=[closed("a")])
    episodes = CommittedEpisodes(lake.storage, stale_s=0)
    for is_closed in (True, False):
        assert episodes.refresh()
        assert episodes.ends_of([episode_id("a")]).closed.tolist() == [is_closed]
        lake.storage.open(generations.EPISODES).delete("state = 'closed'")
    episodes.close()
