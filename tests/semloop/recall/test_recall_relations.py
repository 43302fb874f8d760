"""Which memories `recall` relates: parts of one text, and those of one session."""

from pathlib import Path

import pytest

from semloop.lake import generations
from semloop.lake.recall import searches, selection, wall
from semloop.lake.recall.features import EventPosition, key_of
from semloop.lake.recall.filters import Every
from semloop.lake.recall.memory_tables import MemoryTables
from tests.semloop.recall.a_memory_lake import (
    MemoryLake,
    a_memory_lake,
    a_message,
    closed,
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
    found = table.texts_at(wanted, Every())
    assert sorted(found.texts) == ["a 0", "b 1"]


def test_events_of_two_episodes_of_a_session_are_not_neighbours(tmp_path: Path) -> None:
    rows = [a_message(f"refund {n}", e, session_id="s") for e, n in ("a0", "b1", "b2")]
    with a_memory_lake(tmp_path, *rows).open() as opened:
        found = {row["text"]: row for row in opened.recall("refund").to_pylist()}
    assert found["refund 0"]["neighbours"] == 0
    assert found["refund 1"]["neighbours"] > 0


def test_equal_texts_that_fill_the_first_results_do_not_end_the_search(
    tmp_path: Path,
) -> None:
    rows = [a_message("refund refused", f"r{n}") for n in range(60)]
    rows += [a_message(f"a note {'abcdefghij'[n]}", f"o{n}") for n in range(10)]
    with a_memory_lake(tmp_path, *rows).open() as opened:
        assert opened.recall("refund refused", k=10).num_rows == 10


def test_newest_memories_of_equal_time_are_those_with_the_least_ids(
    tmp_path: Path,
) -> None:
    rows = [
        a_message(f"call {n}", f"e{n}", type="tool_call", status="error")
        for n in range(200)
    ]
    with a_memory_lake(tmp_path, *rows).open() as opened:
        found = opened.recall("failed tool calls", k=10)["id"].to_pylist()
        ids = opened.sql("SELECT id FROM memories ORDER BY id LIMIT 10").fetchall()
    assert found == [id_ for (id_,) in ids]


def test_the_parts_of_following_texts_do_not_displace_first_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "AT_MAX", 2)
    # The searches return the hits alone, so that the texts after them are looked up.
    for name, value in (("COUNT_FIRST", 2), ("COUNT_MAX", 2), ("MARGIN", 0)):
        monkeypatch.setattr(selection, name, value)
    monkeypatch.setattr(selection, "NEIGHBOURS_OF", 0)
    rows = [
        a_message("the end" if part else "the beginning", e, seq=1, part=part)
        for e in "ab"
        for part in (0, 1, 2)
    ]
    hits = [a_message("refund", "a", seq=0), a_message("a refund", "b", seq=0)]
    with a_memory_lake(tmp_path, *reversed(rows), *hits).open() as opened:
        found = opened.recall("refund", k=2)
    assert found["after"].to_pylist() == ["the beginning"] * 2


def test_a_neighbour_that_is_stored_twice_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("COUNT_FIRST", 1), ("COUNT_MAX", 1), ("MARGIN", 0)):
        monkeypatch.setattr(selection, name, value)
    lake = a_memory_lake(tmp_path, a_message("refund"), a_message("it rains"))
    with lake.open() as opened:
        expected = opened.recall("refund", k=1)
        lake.table.add(lake.table.search().where("text = 'it rains'").to_arrow())
        found = opened.recall("refund", k=1)
    assert found["after"].to_pylist() == ["it rains"]
    assert found.equals(expected)


def test_unnamed_events_of_others_do_not_crowd_out_those_of_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (wall, selection):
        monkeypatch.setattr(module, "EPISODES_MAX", 1)
    monkeypatch.setattr(selection, "COUNT_MAX", 60)
    monkeypatch.setattr(selection, "MATCHES_MAX", 20)
    others = [a_message(f"refund {n}", f"o{n}") for n in range(200)]
    own = [a_message(f"my refund {e}", e, user_id="ann") for e in "ab"]
    ends = [closed(e, user_id="ann", users=["ann"]) for e in "ab"]
    with a_memory_lake(tmp_path, *others, *own, episodes=ends).open() as opened:
        assert opened.recall("refund", user="ann").num_rows == 2
