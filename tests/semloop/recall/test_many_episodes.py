"""Users with more episodes, and more rewards, than a condition of a search can list."""

from pathlib import Path

import pyarrow as pa
import pytest

from semloop.lake.recall.conditions import EPISODES_MAX
from tests.operators.event_rows import Row
from tests.semloop.recall.a_memory_lake import (
    MemoryLake,
    a_memory_lake,
    a_message,
    closed,
    texts,
)
from tests.semloop.recall.two_engines import two_engines

pytestmark = pytest.mark.slow


def a_lake(folder: Path, count: int) -> MemoryLake:
    """Create a lake of episodes of ann, the last one without her name, and of bob."""
    rows: list[Row] = []
    ends: list[Row] = []
    for n in range(count):
        name = None if n == count - 1 else "ann"
        rows.append(a_message(f"refund of ann {n}", f"a{n}", user_id=name))
        ends.append(closed(f"a{n}", user_id="ann", users=["ann"], reward=n / count))
    for n in range(40):
        rows.append(a_message(f"refund of bob {n}", f"b{n}", user_id="bob"))
        rows.append(a_message(f"refund of somebody {n}", f"s{n}"))
        ends.append(closed(f"b{n}", user_id="bob", users=["bob"]))
    return a_memory_lake(folder, *rows, episodes=ends)


@pytest.mark.parametrize("count", [EPISODES_MAX, EPISODES_MAX + 1])
def test_beyond_the_bound_a_user_finds_named_memories_only(
    tmp_path: Path, count: int
) -> None:
    last = f"refund of ann {count - 1}"
    with two_engines(a_lake(tmp_path, count).settings) as engines:
        found = texts(engines.same(last, user="ann", k=50))
        good = engines.same("refund", user="ann", min_reward=0.9, k=50)
    assert (last in found) == (count == EPISODES_MAX)
    assert len(found) == 50
    assert all(text.startswith("refund of ann ") for text in [*found, *texts(good)])
    assert good.num_rows == 50
    assert min(good["reward"].to_pylist()) >= 0.9


def test_beyond_the_bound_rewards_still_select(tmp_path: Path) -> None:
    lake = a_lake(tmp_path, EPISODES_MAX + 200)
    with two_engines(lake.settings) as engines:
        # Over 2,000 episodes have this reward, so that results are filtered afterwards.
        found: pa.Table = engines.same("refund", min_reward=0.05, k=50)
    assert found.num_rows == 50
    assert min(found["reward"].to_pylist()) >= 0.05
