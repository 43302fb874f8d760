"""Filters of `recall`: as options, in SQL, and in the words of the query."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from semloop.lake.recall import selection, wall
from tests.semloop.recall.a_memory_lake import (
    NOON,
    MemoryLake,
    a_memory_lake,
    a_message,
    ago,
    an_episode,
    closed,
    texts,
)

pytestmark = pytest.mark.slow


def recalled(lake: MemoryLake, query: str, *args: Any, **options: Any) -> list[str]:
    with lake.open() as opened:
        return texts(opened.recall(query, *args, **options))


FILTERED = (
    a_message(
        "the trip of one", "a", agent="x", namespace="n", user_id="u", ts=ago(days=9)
    ),
    a_message("the trip of two", "b", agent="y", ts=ago(hours=2)),
    an_episode("the trip of three", "c", agent="y", ts=ago(hours=50)),
)


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({"agent": "x"}, {"one"}),
        ({"agent": "y"}, {"two", "three"}),
        ({"namespace": "n"}, {"one"}),
        ({"session": "s-b"}, {"two"}),
        ({"user": "u"}, {"one"}),
        ({"kind": "event"}, {"one", "two"}),
        ({"kind": "episode"}, {"three"}),
        ({"since": "24h"}, {"two"}),
        ({"since": "7d"}, {"two", "three"}),
        ({"since": timedelta(days=8)}, {"two", "three"}),
        ({"since": ago(days=8)}, {"two", "three"}),
        ({"since": ago(days=8).isoformat()}, {"two", "three"}),
        ({"min_reward": 0.5}, {"three"}),
        ({"min_reward": 0.1}, {"one", "three"}),
        ({"min_reward": 0.9}, set()),
        ({"agent": "y", "kind": "event"}, {"two"}),
        ({"agent": "unknown"}, set()),
    ],
)
def test_filters(tmp_path: Path, options: dict[str, Any], numbers: set[str]) -> None:
    lake = a_memory_lake(
        tmp_path,
        *FILTERED,
        episodes=[closed("a", reward=0.2), closed("c", reward=0.8)],
    )
    found = recalled(lake, "trip", **options)
    assert {text.split()[-1] for text in found} == numbers


@pytest.mark.parametrize(
    ("since", "numbers"),
    [
        ("INTERVAL 1 DAY", {"two"}),
        ("INTERVAL '3 days 1 hour'", {"two", "three"}),
        ("now() - INTERVAL 1 DAY", {"two"}),
        ("(now() - INTERVAL 1 DAY)::TIMESTAMP", {"two"}),
        ("'24h'", {"two"}),
        ("DATE '2020-01-01'", {"one", "two", "three"}),
        ("NULL", {"one", "two", "three"}),
    ],
)
def test_since_in_sql(tmp_path: Path, since: str, numbers: set[str]) -> None:
    lake = a_memory_lake(tmp_path, *FILTERED, episodes=[closed("c")])
    with lake.open() as opened:
        found = opened.sql(f"SELECT text FROM recall('trip', since := {since})")
        assert {text.split()[-1] for (text,) in found.fetchall()} == numbers


def test_a_neighbour_that_fails_the_filters_is_not_a_hit(tmp_path: Path) -> None:
    lake = a_memory_lake(
        tmp_path,
        a_message("the refund question", agent="x"),
        a_message("the refund answer", agent="y"),
    )
    with lake.open() as opened:
        (row,) = opened.recall("refund", agent="x").to_pylist()
    assert row["text"] == "the refund question"
    assert row["neighbours"] > 0
    assert row["after"] == "the refund answer"


def test_a_neighbour_with_too_small_a_reward_is_not_a_hit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Too many episodes have the reward, so the searches do not filter by it; and they
    # find only one of the texts.
    for module in (wall, selection):
        monkeypatch.setattr(module, "EPISODES_MAX", 0)
    for name, value in (("COUNT_FIRST", 1), ("COUNT_MAX", 1), ("MARGIN", 0)):
        monkeypatch.setattr(selection, name, value)
    lake = a_memory_lake(
        tmp_path,
        a_message("refund", "a"),
        a_message("goodbye", "a"),
        episodes=[closed("a", reward=0.2), closed("b", reward=0.8)],
    )
    assert recalled(lake, "refund", min_reward=0.1) == ["refund", "goodbye"]
    assert recalled(lake, "refund", min_reward=0.5) == []


def test_since_includes_its_own_moment(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path, a_message("trip", ts=NOON))
    assert recalled(lake, "trip", since=NOON) == ["trip"]
    later = NOON + timedelta(microseconds=1)
    assert recalled(lake, "trip", since=later) == []


SPECIAL = ["o'hara", 'a "b"', "back\\slash", "x\nline", "\N{GRINNING FACE}", "nul\0nul",
       "' OR 1 = 1 --", "%", "$1", "é\u0301"]  # fmt: skip


def test_special_characters_in_filters_and_queries_are_literal(tmp_path: Path) -> None:
    rows = [
        a_message(f"trip {n} {name}", f"e{n}", agent=name)
        for n, name in enumerate(SPECIAL)
    ]
    lake = a_memory_lake(tmp_path, *rows)
    with lake.open() as opened:
        for n, name in enumerate(SPECIAL):
            (row,) = opened.recall("trip", agent=name).to_pylist()
            assert (row["agent"], row["text"]) == (name, f"trip {n} {name}")
            assert opened.recall("trip", namespace=name).num_rows == 0
            assert opened.recall(f"trip {name}", k=20).num_rows == len(SPECIAL)


def test_a_query_of_filter_words_only_returns_the_newest_first(tmp_path: Path) -> None:
    def a_call(text: str, status: str, hours: int) -> dict[str, Any]:
        return a_message(
            text, text, type="tool_call", status=status, ts=ago(hours=hours)
        )

    lake = a_memory_lake(
        tmp_path,
        a_call("old", "error", 30),
        a_call("five", "error", 5),
        a_call("fine", "success", 1),
        a_call("two", "error", 2),
        a_message("we spoke of failed tool calls", "m", ts=ago(hours=1)),
    )
    query = "failed tool calls in the last 24 hours"
    with lake.open() as opened:
        found = opened.recall(query)
        assert texts(found) == ["two", "five"]
        understood = found["understood"].to_pylist()[0]
        assert understood.startswith("tool calls that failed, since ")
        assert set(found["score"].to_pylist()) == {0.0}
        literally = opened.recall(query, words=False)
        assert texts(literally)[0] == "we spoke of failed tool calls"
        assert literally["understood"].to_pylist()[0] is None
        assert literally.num_rows == 5
        assert texts(opened.recall("failed tool calls", k=1)) == ["two"]
