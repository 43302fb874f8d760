"""Recall in memory gives the same answers, byte by byte, as recall from storage."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semloop.lake.recall import selection
from semloop.lake.recall.filters import (
    Either,
    Every,
    Filter,
    FirstPart,
    IsNull,
    OneOf,
    Since,
    Until,
)
from semloop.lake.recall.resident.searches import ResidentSearches
from semloop.lake.recall.resident.segment import FILTERED
from tests.operators.event_rows import Row, event_row
from tests.semloop.recall.a_memory_lake import (
    HASHING,
    NOON,
    a_memory_lake,
    a_message,
    closed,
)
from tests.semloop.recall.event_lake import an_event_lake
from tests.semloop.recall.test_walls import EVENTS, WORDS
from tests.semloop.recall.two_engines import TwoEngines, two_engines

pytestmark = pytest.mark.slow

STATUS = ("failed tool calls", "errors", "successful episodes", "failed runs", "")
QUERIES = st.tuples(
    st.sampled_from(STATUS), st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)
).map(lambda parts: " ".join([parts[0], *parts[1]]))
FILTERS = st.fixed_dictionaries(
    {"k": st.sampled_from([1, 3, 50])},
    optional={
        "namespace": st.sampled_from(["acme", "it's"]),
        "user": st.sampled_from(["ann", "bob", ""]),
        "agent": st.just("booker"),
        "session": st.just("1"),
        "kind": st.sampled_from(["event", "episode"]),
        "min_reward": st.sampled_from([0.0, 0.5]),
        "since": st.sampled_from(["1h", "2000d", "2026-01-02T12:00:05Z"]),
        "max_tokens": st.just(40),
    },
)
FEW, MANY = settings(max_examples=6), settings(max_examples=500)
QUESTIONS = st.lists(st.tuples(QUERIES, FILTERS), min_size=1, max_size=6)


def check_answers(events: list[Row], questions: list[tuple[str, Row]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        lake = an_event_lake(Path(name), [event_row(text="a trip"), *events])
        with two_engines(lake.settings) as engines:
            for query, filters in questions:
                engines.same(query, **filters)


@given(events=EVENTS, questions=QUESTIONS)
@FEW
def test_memory_and_storage_give_equal_answers(
    events: list[Row], questions: list[tuple[str, Row]]
) -> None:
    check_answers(events, questions)


@pytest.mark.storm
@pytest.mark.timeout(3_600)
@given(events=EVENTS, questions=QUESTIONS)
@MANY
def test_memory_and_storage_give_equal_answers_to_thousands_of_questions(
    events: list[Row], questions: list[tuple[str, Row]]
) -> None:
    check_answers(events, questions)


def conditions() -> st.SearchStrategy[Filter]:
    texts = st.sampled_from(["event", "error", "ann", "it's", "", "no such", "näive"])
    columns = st.sampled_from(FILTERED)
    times = st.sampled_from([NOON, NOON.replace(microsecond=1), NOON.replace(year=1)])
    simple = st.one_of(
        st.builds(OneOf, columns, st.lists(texts, max_size=3).map(tuple)),
        st.builds(IsNull, columns),
        st.builds(Since, times),
        st.builds(Until, times),
        st.builds(FirstPart),
    )
    several = st.lists(simple, min_size=1, max_size=3).map(tuple)
    return several.map(Every) | st.builds(Either, simple, simple)


@pytest.fixture(scope="module")
def various(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoEngines]:
    """Yield a lake whose columns have various values, and nulls."""
    folder = tmp_path_factory.mktemp("lake")
    names = [None, "ann", "it's", "", "näive", "event"]
    rows = [
        a_message(
            f"text {n}", f"e{n % 3}", seq=n, part=n % 2, user_id=name, agent=name or "a",
            status=names[n - 3], outcome=name, type="error" if n % 2 else "message",
            session_id=name or "s", ts=NOON.replace(microsecond=n),
        )
        for n, name in enumerate(names)
    ]  # fmt: skip
    with two_engines(a_memory_lake(folder, *rows).settings) as engines:
        yield engines


@given(where=conditions())
def test_a_condition_selects_the_same_rows_as_its_sql(
    where: Filter, various: TwoEngines
) -> None:
    memories = various.in_memory()
    assert memories is not None
    assert ResidentSearches(memories).count(where) == memories.table.count(where)


def test_the_first_of_many_equal_memories_do_not_depend_on_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "COUNT_MAX", 60)
    # Both searches find more of them than they return.
    monkeypatch.setattr(selection, "MATCHES_MAX", 50)
    rows = [
        a_message("refund refused", f"e{n}", namespace=f"n{n // 150}", kafka_offset=n)
        for n in range(400)
    ]
    answers = []
    for name, some in (("in order", rows), ("reversed", rows[::-1])):
        lake = a_memory_lake(tmp_path / name, *some)
        with two_engines(lake.settings) as engines:
            answers.append(engines.same("refund", k=50))
            answers.append(engines.same("refund", k=1, namespace="n1"))
    assert answers[0].num_rows == 3
    assert answers[:2] == answers[2:]


def test_the_nearest_of_many_and_their_neighbours_are_the_same(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    words = random.integers(0, 40, (400, 5))
    # The embedder of tests gives many texts the same cosine; which of these are among
    # the nearest is not defined.
    vectors = random.normal(size=(400, HASHING.dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [
        a_message(
            " ".join(f"w{word}" for word in some), f"e{n // 20}",
            namespace=f"n{n // 20 % 3}", user_id=[None, "ann"][n // 40 % 2],
            part=int(some[0] == 7), importance=float(some[1] / 40), vector=vectors[n],
        )
        for n, some in enumerate(words)
    ]  # fmt: skip
    ends = [closed(f"e{n}", reward=n / 20, namespace=f"n{n % 3}") for n in range(20)]
    lake = a_memory_lake(tmp_path, *rows, episodes=ends)
    with two_engines(lake.settings) as engines:
        for n in range(20):
            filters: list[Row] = [
                {}, {"namespace": "n1"}, {"user": "ann"}, {"min_reward": 0.5},
                {"k": 60, "kind": "event"},
            ]  # fmt: skip
            engines.same(f"w{n} w{n * 7 % 40} case {n}", **filters[n % 5])
