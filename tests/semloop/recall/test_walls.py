"""Walls between namespaces and between users, on lakes of random events."""

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from semloop import Lake
from tests.operators.event_rows import Row, event_row
from tests.semloop.recall.a_memory_lake import MemoryLake
from tests.semloop.recall.event_lake import an_event_lake
from tests.support.builders import PAYLOADS
from tests.support.commands import run_command

pytestmark = pytest.mark.slow

WORDS = ("refund", "fare", "näive", "会議", "Seat", "window_seat", "the", "42", "\N{GRINNING FACE}")  # fmt: skip
TYPES = (
    "message",
    "message",
    "message",
    "tool_call",
    "error",
    "completion",
    "feedback",
)


@st.composite
def an_event(draw: st.DrawFn) -> Row:
    kind = draw(st.sampled_from(TYPES))
    user = draw(st.sampled_from([None, "ann", "bob", ""]))
    return event_row(
        kind,
        draw(st.sampled_from(["1", "2"])),
        draw(st.sampled_from([0, 1, 5, 4_000])),
        namespace=draw(st.sampled_from(["acme", "globex"])),
        agent=draw(st.sampled_from(["booker", "payer"])),
        text=" ".join(draw(st.lists(st.sampled_from(WORDS), max_size=6))),
        role=draw(st.sampled_from(["user", "assistant"]))
        if kind == "message"
        else None,
        user_id=user,
        payload=PAYLOADS[kind],
    )


EVENTS = st.lists(an_event(), min_size=1, max_size=25)
QUERIES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "user": st.sampled_from(["ann", "bob"]),
        "agent": st.just("booker"),
        "session": st.just("1"),
        "kind": st.sampled_from(["event", "episode"]),
        "min_reward": st.sampled_from([0.0, 0.5]),
    },
)
# Examples in every run; each writes two lakes. `pytest -m storm` runs a thousand.
FEW, MANY = settings(max_examples=6), settings(max_examples=1_000)


def check_namespaces(
    events: list[Row], query: str, filters: Row, k: int, *, with_command: bool = False
) -> None:
    """Compare answers with those of a lake that never had the other namespace."""
    rows = [row | {"kafka_offset": n} for n, row in enumerate(events)]
    own = [row for row in rows if row["namespace"] == "acme"]
    assume(own)
    with tempfile.TemporaryDirectory() as name:
        both = an_event_lake(Path(name, "both"), rows)
        alone = an_event_lake(Path(name, "alone"), own)
        with both.open() as shared, alone.open() as single:
            found = shared.recall(query, k, namespace="acme", **filters)
            assert found.equals(single.recall(query, k, namespace="acme", **filters))
            assert found.equals(single.recall(query, k, **filters))
            assert in_sql(shared, query, k, filters) == in_sql(
                single, query, k, filters
            )
        if with_command:
            assert by_command(both, query, k, filters) == by_command(
                alone, query, k, filters
            )


def in_sql(lake: Lake, query: str, k: int, filters: Row) -> list[tuple[Any, ...]]:
    """Return the answer of the SQL function for the namespace acme."""
    named = filters | {"namespace": "acme", "k": k}
    arguments = ", ".join(f'"{name}" := ${name}' for name in named)
    sql = f"FROM recall($query, {arguments})"
    return lake.sql(sql, named | {"query": query}).fetchall()


def by_command(lake: MemoryLake, query: str, k: int, filters: Row) -> str:
    """Return what `semloop recall` prints for the namespace acme."""
    options = [
        text
        for name, value in (filters | {"namespace": "acme"}).items()
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    arguments = ("recall", query, "-k", str(k), "--format", "json", *options)
    return run_command(lake.settings, *arguments)


def check_users(events: list[Row], query: str, namespace: str | None) -> None:
    """Check that every text in an answer is of the user, by a word in each event."""
    rows = [row | {"text": f"{row['text']} text{n}"} for n, row in enumerate(events)]
    with tempfile.TemporaryDirectory() as name:
        lake = an_event_lake(Path(name), rows)
        with lake.open() as opened:
            found = opened.recall(query, 50, user="ann", namespace=namespace)
            episodes = opened.sql("SELECT episode_id, users FROM episodes").fetchall()
    users = {episode: set(names) for episode, names in episodes}
    texts = {f"text{n}": row["user_id"] for n, row in enumerate(rows)}
    for hit in found.to_pylist():
        assert namespace in (None, hit["namespace"])
        for column in ("text", "context", "after"):
            for word in (hit[column] or "").replace(".", " ").split():
                owner = texts.get(word, "ann")
                assert owner == "ann" or (
                    owner is None and users[hit["episode_id"]] == {"ann"}
                )


@given(events=EVENTS, query=QUERIES, filters=FILTERS, k=st.sampled_from([1, 3, 50]))
@FEW
def test_another_namespace_changes_no_byte_of_an_answer(
    events: list[Row], query: str, filters: Row, k: int
) -> None:
    check_namespaces(events, query, filters, k)


@given(events=EVENTS, query=QUERIES, namespace=st.sampled_from([None, "acme"]))
@FEW
def test_no_text_of_another_user_reaches_an_answer(
    events: list[Row], query: str, namespace: str | None
) -> None:
    check_users(events, query, namespace)


@pytest.mark.storm
@pytest.mark.timeout(3_600)
@given(events=EVENTS, query=QUERIES, filters=FILTERS, k=st.sampled_from([1, 3, 50]))
@MANY
def test_another_namespace_changes_no_byte_of_a_thousand_answers(
    events: list[Row], query: str, filters: Row, k: int
) -> None:
    check_namespaces(events, query, filters, k, with_command=True)


@pytest.mark.storm
@pytest.mark.timeout(3_600)
@given(events=EVENTS, query=QUERIES, namespace=st.sampled_from([None, "acme"]))
@MANY
def test_no_text_of_another_user_reaches_a_thousand_answers(
    events: list[Row], query: str, namespace: str | None
) -> None:
    check_users(events, query, namespace)


def shown(found: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in found.to_pylist()]


def test_a_word_that_only_another_namespace_uses_finds_nothing(tmp_path: Path) -> None:
    lake = an_event_lake(
        tmp_path,
        [
            event_row(namespace="acme", text="the takeover of Initech"),
            event_row(namespace="globex", text="what should we do next year"),
            event_row(namespace="acme", text="I draft the offer for Initech"),
            event_row("completion", namespace="globex"),
        ],
    )
    with lake.open() as opened:
        found = opened.recall("takeover Initech", namespace="globex")
    assert {row["namespace"] for row in found.to_pylist()} == {"globex"}
    assert set(found["keyword"].to_pylist()) == {0.0}
    assert set(found["keyword_context"].to_pylist()) == {0.0}
    assert all("Initech" not in str(row) for row in found.to_pylist())


def test_an_event_without_user_belongs_to_the_only_user_of_its_episode(
    tmp_path: Path,
) -> None:
    lake = an_event_lake(
        tmp_path,
        [
            event_row(session="a", user_id="ann", text="my refund"),
            event_row(session="a", text="refund for one"),
            event_row(session="b", user_id="ann", text="our refund"),
            event_row(session="b", text="refund for two"),
            event_row(session="b", user_id="bob", text="a refund of bob"),
            event_row(session="b", user_id="ann", text="a refund after bob"),
            event_row("completion", session="a"),
            event_row("completion", session="b"),
        ],
    )
    with lake.open() as opened:
        found = opened.recall("refund", user="ann")
    assert sorted(shown(found, "kind", "text", "context", "after"), key=str) == [
        ("episode", "my refund. Outcome success, reward 1.", None, None),
        ("event", "a refund after bob", None, None),
        ("event", "my refund", None, "refund for one"),
        ("event", "our refund", None, None),
        ("event", "refund for one", "my refund", None),
    ]  # fmt: skip
