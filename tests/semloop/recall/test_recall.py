"""`Lake.recall` and `recall` in SQL, on memories written as the flow writes them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from semloop import Lake
from semloop.errors import ConfigError
from semloop.lake.recall import engine
from tests.semloop.recall.a_memory_lake import (
    NOON,
    MemoryLake,
    a_memory_lake,
    a_message,
    ago,
    an_episode,
    closed,
    episode_id,
    texts,
)

pytestmark = pytest.mark.slow

REFUND = "the refund was refused because of the fare class"
PARTS = ("similarity", "keyword", "keyword_context", "neighbours", "session", "decay")


def test_the_best_match_is_first_and_the_score_is_the_sum_of_its_parts(
    tmp_path: Path,
) -> None:
    lake = a_memory_lake(
        tmp_path,
        a_message("we talked about the weather", "a"),
        a_message(REFUND, "b", importance=0.5, tool=None),
        a_message("a seat was changed", "c"),
    )
    with lake.open() as opened:
        found = opened.recall("why was a refund refused?", k=2)
        rows = found.to_pylist()
    assert [row["rank"] for row in rows] == [1, 2]
    best = rows[0]
    assert (best["text"], best["agent"], best["ts"]) == (REFUND, "booker", NOON)
    assert best["episode_id"] == episode_id("b")
    assert best["event_ids"] == ["event-1"]
    assert (best["topic_id"], best["kafka_offset"]) == ("topic-1", 1)
    assert isinstance(best["id"], bytes)
    for row in rows:
        similarity, *others, decay = (row[part] for part in PARTS)
        assert row["score"] == pytest.approx(decay * (3 * similarity + sum(others)))
    assert (best["keyword"], best["keyword_context"], best["decay"]) == (1, 1, 1)
    assert rows[1]["score"] < best["score"]


def test_recall_in_sql_returns_the_same_rows_and_can_be_joined(tmp_path: Path) -> None:
    lake = a_memory_lake(
        tmp_path, a_message(REFUND, "a"), a_message("a seat was changed", "b")
    )
    with lake.open() as opened:
        found = opened.recall("refund", k=2, agent="booker")
        in_sql = opened.sql("FROM recall('refund', k := 2, agent := 'booker')")
        assert in_sql.fetchall() == [tuple(row.values()) for row in found.to_pylist()]
        assert in_sql.columns == found.column_names
        joined = opened.sql(
            "SELECT count(*) FROM memories WHERE session_id IN "
            "(SELECT session_id FROM recall($query, k := $k))",
            {"query": "refund", "k": 1},
        )
        assert joined.fetchall() == [(1,)]


def test_the_candidates_are_fetched_once_per_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = a_memory_lake(tmp_path, a_message(REFUND))
    calls = []
    find = engine.RecallEngine.recall

    def counted(self: Any, request: Any) -> Any:
        calls.append(request.query)
        return find(self, request)

    monkeypatch.setattr(engine.RecallEngine, "recall", counted)
    with lake.open() as opened:
        opened.recall("refund")
        assert calls == ["refund"]
        opened.sql("SELECT * FROM recall('again') JOIN memories USING (id)").fetchall()
    assert calls == ["refund", "again"]


def test_neighbours_raise_each_others_scores_and_are_shown_as_context(
    tmp_path: Path,
) -> None:
    lake = a_memory_lake(
        tmp_path,
        a_message("may I get the money for my cancelled trip", "a"),
        a_message("that was refused", "a"),
        a_message("thank you, goodbye", "a"),
        a_message("that was refused altogether", "b"),
    )
    with lake.open() as opened:
        first, second, *_ = opened.recall("cancelled trip refused").to_pylist()
    assert {first["text"], second["text"]} == {
        "may I get the money for my cancelled trip", "that was refused"
    }  # fmt: skip
    row = first if first["seq"] == 1 else second
    assert row["context"] == "may I get the money for my cancelled trip"
    assert row["after"] == "thank you, goodbye"
    assert row["neighbours"] > 0
    assert row["session"] > 0


def test_after_has_the_next_text_even_if_that_is_not_a_candidate(
    tmp_path: Path,
) -> None:
    filler = [a_message(f"nothing of note {n}", f"f{n}") for n in range(450)]
    lake = a_memory_lake(
        tmp_path,
        *(a_message(f"refund refused again {n}", "a") for n in range(300)),
        *filler,
    )
    with lake.open() as opened:
        found = opened.recall("refund refused again", k=200)
    rows = found.to_pylist()
    assert len(rows) == 200
    for row in rows:
        expected = f"refund refused again {row['seq'] + 1}"
        assert row["after"] == (expected if row["seq"] < 299 else None)


def test_memories_beyond_the_committed_offset_are_not_visible(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path, a_message("trip one", "a"))
    lake.remember(a_message("trip two", "b"), an_episode("trip three", "c"))
    with lake.open() as opened:
        query = "SELECT text FROM memories ORDER BY text"
        assert texts(opened.recall("trip")) == ["trip one"]
        assert opened.sql(query).fetchall() == [("trip one",)]
        lake.commit(closed("c", outcome="success", reward=0.5), upto=1)
        rows = opened.recall("trip").to_pylist()
        assert {row["text"]: (row["outcome"], row["reward"]) for row in rows} == {
            "trip one": (None, None),
            "trip two": (None, None),
            "trip three": ("success", 0.5),
        }
        assert len(opened.sql(query).fetchall()) == 3


def test_an_open_lake_follows_a_switch_of_the_generation(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path, a_message("trip one"))
    with lake.open() as opened:
        assert texts(opened.recall("trip")) == ["trip one"]
        assert opened.sql("SELECT text FROM memories").fetchall() == [("trip one",)]
        second = MemoryLake(lake.settings, generation=2)
        second.remember(a_message("trip two"))
        second.commit()
        assert texts(opened.recall("trip")) == ["trip two"]
        assert opened.sql("SELECT text FROM memories").fetchall() == [("trip two",)]


def test_outcome_and_reward_are_those_of_the_latest_closed_revision(
    tmp_path: Path,
) -> None:
    lake = a_memory_lake(
        tmp_path, a_message("trip"), episodes=[closed(outcome="failure", reward=0.0)]
    )
    with lake.open() as opened:
        assert opened.recall("trip")["reward"].to_pylist() == [0.0]
        lake.commit(closed(revision=3, outcome="odd", reward=0.75))
        assert opened.recall("trip")["reward"].to_pylist() == [0.75]
        lake.commit(closed(revision=2, outcome="partial", reward=0.5))
        row = opened.recall("trip").to_pylist()[0]
        assert (row["outcome"], row["reward"]) == ("odd", 0.75)
        shown = opened.sql("SELECT outcome, reward FROM memories").fetchall()
        assert shown == [("odd", 0.75)]


def test_equal_texts_are_one_hit_and_do_not_displace_others(tmp_path: Path) -> None:
    repeated = [a_message("trip booked", f"r{n}") for n in range(900)]
    others = [a_message(f"a long trip to the town {n}", f"o{n}") for n in range(60)]
    elsewhere = a_message("trip booked", "z", namespace="other")
    lake = a_memory_lake(tmp_path, *repeated, *others, elsewhere)
    with lake.open() as opened:
        rows = opened.recall("trip booked", k=20).to_pylist()
    assert len(rows) == 20
    counts = {(r["text"], r["namespace"]): r["count"] for r in rows}
    assert len(counts) == 20
    assert counts["trip booked", "default"] >= 800
    assert counts["trip booked", "other"] == 1


def test_scores_decay_by_half_life_and_importance(tmp_path: Path) -> None:
    lake = a_memory_lake(
        tmp_path,
        a_message("refund of the trip", "a", ts=ago(days=4), importance=0.5),
        a_message("refund of a trip then", "b", ts=ago(days=1), importance=0.5),
        a_message("refund of a trip now", "c", ts=ago(days=1), importance=1.0),
    )
    with lake.open() as opened:
        assert opened.recall("refund of the trip")["decay"].to_pylist() == [1, 1, 1]
        for half_life in ("1d", timedelta(days=1)):
            rows = opened.recall("refund of the trip", half_life=half_life).to_pylist()
            decay = {row["text"]: row["decay"] for row in rows}
            assert decay["refund of the trip"] == pytest.approx(1 / 16, rel=0.01)
            assert decay["refund of a trip then"] == pytest.approx(1 / 2, rel=0.01)
            assert decay["refund of a trip now"] == pytest.approx(
                0.5 ** (2 / 3), rel=0.01
            )
            assert rows[-1]["text"] == "refund of the trip"
        one = opened.sql(
            "SELECT decay FROM recall('then', k := 1, half_life := INTERVAL 1 DAY)"
        )
        assert one.fetchall()[0][0] == pytest.approx(1 / 2, rel=0.01)


def test_recall_on_a_lake_without_memories_returns_an_empty_table(
    tmp_path: Path,
) -> None:
    with Lake(tmp_path) as empty:
        found = empty.recall("trip")
        assert not empty.has_memories()
        assert empty.sql("SELECT count(*) FROM memories").fetchall() == [(0,)]
    lake = a_memory_lake(tmp_path / "lake", a_message("trip"))
    with lake.open() as opened:
        assert opened.recall("trip").schema == found.schema
        assert opened.has_memories()


@pytest.mark.parametrize(
    ("query", "options", "what"),
    [
        (" \n", {}, "The query is empty."),
        ("x", {"k": 0}, "k is 0; it must be between 1 and 1,000."),
        ("x", {"k": 1001}, "k is 1001; it must be between 1 and 1,000."),
        ("x", {"kind": "events"}, "There is no kind 'events' of memories."),
        ("x", {"since": "soon"}, "since: 'soon' is neither a duration nor"),
        ("x", {"since": timedelta(days=10**6)}, "since: '1000000 days, 0:00:00' is before"),
        ("x", {"half_life": "0d"}, "half_life: '0d' is not a duration above 0."),
        ("x", {"max_tokens": 0}, "max_tokens is 0; it must be at least 1."),
        ("x", {"half_life": "never"}, "half_life: 'never' is not a duration"),
        ("x", {"min_reward": float("nan")}, "min_reward is not a number."),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_a_config_error(
    tmp_path: Path, query: str, options: dict[str, Any], what: str
) -> None:
    with Lake(tmp_path) as lake:
        with pytest.raises(ConfigError) as caught:
            lake.recall(query, **options)
        assert caught.value.what.startswith(what)
        assert caught.value.todo


def test_a_wrong_argument_in_sql_is_a_duckdb_error(tmp_path: Path) -> None:
    with Lake(tmp_path) as lake:
        with pytest.raises(
            duckdb.Error, match=r"Error: The query is empty\.\nPass the text"
        ):
            lake.sql("FROM recall('')").fetchall()
        # The error must not be reported again for the next call.
        assert lake.sql("FROM recall('x')").fetchall() == []


def test_max_tokens_bounds_the_texts_of_the_hits_in_python_and_sql(
    tmp_path: Path,
) -> None:
    rows = [a_message(f"refund {'x' * n}", f"e{n}") for n in range(3)]
    with a_memory_lake(tmp_path, *rows).open() as opened:
        every = opened.recall("refund", max_tokens=9)
        assert len(every) == 3
        some = opened.recall("refund", max_tokens=8)
        assert some.equals(every.slice(0, 2))
        query = "SELECT text FROM recall('refund', max_tokens := 8)"
        assert [text for (text,) in opened.sql(query).fetchall()] == texts(some)
        assert opened.recall("refund", max_tokens=2).schema == every.schema
