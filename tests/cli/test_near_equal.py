"""Near-equal hits are one place of a list."""

from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.command.cli.near_equal import fetch_places, fold, fold_key

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("case 10003 refused", "case 10004 refused"),
        ("Case 1 refused!", "case 20 - refused."),
        ("at 12:30 on 2026-01-02", "at 9:05 on 2025-12-31"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "caf\u00e9"),
        ("case \uff11\uff12", "case 7"),
    ],
)
def test_case_digits_and_punctuation_make_no_difference(one: str, other: str) -> None:
    assert fold_key(one) == fold_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("refused", "not refused"),
        ("case refused", "case 1 refused"),
        ("good 👍", "good 👎"),
        ("5 €", "5 $"),
        ("का", "की"),
        ("42", "7"),
        ("?", "!"),
    ],
)
def test_words_and_symbols_make_a_difference(one: str, other: str) -> None:
    assert fold_key(one) != fold_key(other)


def test_equal_texts_of_two_namespaces_are_two_places() -> None:
    assert fold(["a", "b", None, "a"], ["x 1", "x 2", "x 3", "x 4"]) == [
        [0, 3], [1], [2]
    ]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from("ab"), st.text("aA1!漢 ", max_size=4))))
def test_each_row_is_in_one_place_and_places_are_in_order(
    rows: list[tuple[str, str]],
) -> None:
    places = fold([namespace for namespace, _ in rows], [text for _, text in rows])
    assert sorted(row for place in places for row in place) == list(range(len(rows)))
    assert [place[0] for place in places] == sorted(place[0] for place in places)
    assert all(place == sorted(place) for place in places)


def search_in(texts: list[str], asked: list[int]) -> Callable[[int], pa.Table]:
    """Return a search that finds these texts, and lists how many were requested."""
    table = pa.table({"namespace": ["n"] * len(texts), "text": texts})

    def search(count: int) -> pa.Table:
        asked.append(count)
        return table.slice(0, count)

    return search


@pytest.mark.parametrize(
    ("equal", "k", "requests"),
    [
        (5, 2, [8]),  # enough in the first answer
        (9, 2, [8, 32]),
        (20_000, 2, [8, 32, 128, 512, 1_000]),  # up to the maximum
        (1_000, 300, [1_000]),
        (20_000, 1, [4]),
    ],
)
def test_more_hits_are_fetched_until_enough_of_them_differ(
    equal: int, k: int, requests: list[int]
) -> None:
    texts = [f"case {n}" for n in range(equal)] + ["another", "a third"]
    asked: list[int] = []
    found, places = fetch_places(search_in(texts, asked), k)
    assert asked == requests
    assert places[0] == list(range(min(equal, len(found))))
    assert len(places) == min(k, 3 if len(found) > equal + 1 else 1)


def test_a_search_that_finds_less_than_requested_is_not_repeated() -> None:
    asked: list[int] = []
    _, places = fetch_places(search_in(["case 1", "case 2"], asked), 3)
    assert (asked, places) == ([12], [[0, 1]])
