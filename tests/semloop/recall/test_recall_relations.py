"""Which memories `recall` relates: parts of one text, and those of one session."""

from pathlib import Path

import pytest

from semloop.lake import generations
from semloop.lake.recall.features import EventPosition, key_of
from semloop.lake.recall.searches import MemoryTables
from tests.semloop.recall.a_memory_lake import (
    MemoryLake,
    a_memory_lake,
    a_message,
    episode_id,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def lake(tmp_path: Path) -> MemoryLake:
    return a_memory_lake(
        tmp_path,
        a_message("refund"),
        a_message("the beginning", seq=1, part=0),
        a_message("the end", seq=1, part=1),
    )


def test_after_is_the_first_part_of_the_next_text(lake: MemoryLake) -> None:
    with lake.open() as opened:
        row = opened.recall("refund", k=1).to_pylist()[0]
    assert (row["text"], row["after"]) == ("refund", "the beginning")


def test_a_session_of_another_namespace_does_not_raise_scores(tmp_path: Path) -> None:
    lake = a_memory_lake(
        tmp_path,
        a_message("the refund was refused", "a", session_id="s", namespace="one"),
        a_message("it rains", "b", session_id="s", namespace="two"),
    )
    with lake.open() as opened:
        best, other = opened.recall("refund refused").to_pylist()
    assert best["text"] == "the refund was refused"
    for row in (best, other):
        base = 3 * row["similarity"] + row["keyword"] + row["keyword_context"]
        assert row["session"] == pytest.approx(0.5 * base)


def test_a_memory_is_not_its_own_neighbour(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path, a_message("refund"))
    with lake.open() as opened:
        assert opened.recall("refund")["neighbours"].to_pylist() == [0]


def key(episode: str) -> int:
    return key_of(bytes.fromhex(episode_id(episode)))


def test_only_texts_at_the_requested_positions_are_returned(tmp_path: Path) -> None:
    rows = [a_message(f"{episode} {n}", episode) for episode in "ab" for n in range(2)]
    lake = a_memory_lake(tmp_path, *rows)
    table = MemoryTables(lake.storage, 0).open(generations.FIRST_GENERATION)
    assert table is not None
    wanted: set[EventPosition] = {(key("a"), 0), (key("b"), 1)}
    found = table.at(wanted, "", {"text": "text"})
    assert sorted(found.columns["text"].to_pylist()) == ["a 0", "b 1"]


def test_events_of_two_episodes_of_a_session_are_not_neighbours(tmp_path: Path) -> None:
    rows = [a_message(f"refund {n}", e, session_id="s") for e, n in ("a0", "b1", "b2")]
    with a_memory_lake(tmp_path, *rows).open() as opened:
        found = {row["text"]: row for row in opened.recall("refund").to_pylist()}
    assert found["refund 0"]["neighbours"] == 0
    assert found["refund 1"]["neighbours"] > 0
