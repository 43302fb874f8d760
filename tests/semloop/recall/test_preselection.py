"""More matches than recall counts: which are selected, and that others have no say."""

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.lake.recall import searches, selection
from semloop.lake.recall.filters import Every
from semloop.lake.recall.preselection import SUM, added, no_sums
from semloop.lake.recall.resident import searches as resident
from semloop.lake.recall.resident.searches import ResidentSearches
from tests.operators.event_rows import Row
from tests.semloop.recall.a_memory_lake import NOON, a_memory_lake, a_message
from tests.semloop.recall.test_resident_answers import QUESTIONS, check_answers
from tests.semloop.recall.test_walls import EVENTS, FILTERS, QUERIES, check_namespaces
from tests.semloop.recall.two_engines import TwoEngines, two_engines
from tests.support.examples import examples

pytestmark = pytest.mark.slow

FEW = examples(5)


def few_are_counted(patch: pytest.MonkeyPatch, matches: int, terms: int = 32) -> None:
    patch.setattr(selection, "MATCHES_MAX", matches)
    for module in (searches, resident):
        patch.setattr(module, "TERMS_MAX", terms)


@given(events=EVENTS, questions=QUESTIONS)
@FEW
def test_memory_and_storage_select_the_same(
    events: list[Row], questions: list[tuple[str, Row]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        few_are_counted(patch, 3, terms=2)
        check_answers(events, questions)


@given(events=EVENTS, query=QUERIES, filters=FILTERS, k=st.sampled_from([1, 50]))
@FEW
def test_another_namespace_has_no_say(
    events: list[Row], query: str, filters: Row, k: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        few_are_counted(patch, 3)
        check_namespaces(events, query, filters, k)


def selected(engines: TwoEngines, terms: list[str], count: int) -> set[int]:
    """Return the offsets of the memories that both engines select, of many matches."""
    memories, opened = engines.in_memory(), engines.stored.opened()
    assert memories is not None
    assert opened is not None
    in_memory = ResidentSearches(memories).by_words(terms, Every(), count)
    stored = opened[1].by_words(terms, Every(), count)
    assert in_memory.frequencies.tolist() == stored.frequencies.tolist()
    offsets = set(in_memory.features.header["offset"].tolist())
    assert offsets == set(stored.features.header["offset"].tolist())
    assert len(stored.features) == count
    return offsets


def test_rare_words_come_first_then_new_memories(tmp_path: Path) -> None:
    rows = [
        a_message(
            f"refund {'fare' if n == 3 else ''}", f"e{n}",
            ts=NOON.replace(microsecond=n % 39),
        )
        for n in range(40)
    ]  # fmt: skip
    lake = a_memory_lake(tmp_path, *rows)
    with two_engines(lake.settings) as engines:
        assert selected(engines, ["refund"], 3) == {36, 37, 38}
        assert selected(engines, ["fare", "refund"], 3) == {3, 37, 38}
        # The words after the first 32 have no weight, but match.
        many = [f"w{n}" for n in range(32)]
        assert selected(engines, [*many, "fare", "refund"], 3) == {36, 37, 38}
        assert selected(engines, [*many[1:], "fare", "refund"], 3) == {3, 37, 38}


@given(terms=st.lists(st.sets(st.integers(0, 2**40), max_size=9), max_size=9))
def test_each_memory_has_the_sum_of_its_terms(terms: list[set[int]]) -> None:
    sums, expected = no_sums(), dict[int, float]()
    for n, term in enumerate(terms):
        rows = np.zeros(len(term), SUM)
        rows["row"], rows["ts"] = list(term), [-row for row in term]
        weight = 1 / (n + 3)
        sums = added(sums, rows, weight)
        expected |= {row: expected.get(row, 0.0) + weight for row in term}
    assert sums["row"].tolist() == sorted(expected)
    assert dict(zip(sums["row"].tolist(), sums["weight"].tolist(), strict=True)) == (
        expected
    )
    assert (sums["ts"] == -sums["row"]).all()


def test_the_matches_of_one_word_at_a_time_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [a_message("refund fare seat", f"e{n}") for n in range(9)]
    lake = a_memory_lake(tmp_path, *rows)
    answers: list[weakref.ref[pa.Table]] = []
    held: list[int] = []
    read = searches._read

    def counted(*arguments: Any) -> pa.Table:
        held.append(sum(answer() is not None for answer in answers))
        found = read(*arguments)
        answers.append(weakref.ref(found))
        return found

    with two_engines(lake.settings) as engines:
        monkeypatch.setattr(searches, "_read", counted)
        selected(engines, ["refund", "fare", "seat"], 3)
    # The first answer shows that there are too many matches.
    assert held == [0, 1, 1, 1]
