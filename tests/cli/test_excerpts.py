"""The words of a query are found in a text, and long texts are cut around them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.command.cli.excerpts import CUT, excerpt, marks_in
from semloop.lake.recall.words import query_terms

pytestmark = pytest.mark.unit

QUERY = "why was the refund refused?"


def marked(text: str, query: str = QUERY, chars: int = 1_000) -> str:
    """Return the excerpt of a text with brackets around the marked words."""
    shown = excerpt(text, marks_in(text, query_terms(query)), chars)
    text = shown.text
    for mark in reversed(shown.marks):
        text = f"{text[: mark.start]}[{text[mark.start : mark.end]}]{text[mark.end :]}"
    return text


def test_words_of_the_query_are_marked_in_all_their_forms() -> None:
    assert marked("They refuse refunds.") == "They [refuse] [refunds]."
    assert marked("REFUND-refused_x") == "[REFUND]-[refused]_x"


def test_stop_words_and_parts_of_words_are_not_marked() -> None:
    assert marked("why was the prerefund") == "why was the prerefund"


@pytest.mark.parametrize("text", ["caf\u00e9s open", "cafe\u0301s open"])
def test_accents_make_no_difference(text: str) -> None:
    assert marked(text, "cafe") == f"[{text[:-5]}] open"


@pytest.mark.parametrize(
    ("text", "query", "shown"),
    [
        ("部署失败是因为证书过期了", "证书过期", "部署失败是因为[证书过期]了"),
        ("会話と会議", "会議", "会話と[会議]"),
        ("calls getUserName", "user", "calls get[User]Name"),
        ("calls getUserName", "getusername", "calls [getUserName]"),
        ("in src/app/main.py", "main", "in src/app/[main].py"),
        ("shipped 🚀 today", "🚀", "shipped [🚀] today"),
        ("ＥＲＲＯＲ here", "error", "[ＥＲＲＯＲ] here"),
    ],
)
def test_parts_of_names_and_of_texts_without_spaces_are_marked(
    text: str, query: str, shown: str
) -> None:
    assert marked(text, query) == shown


def test_nothing_is_marked_without_words_in_the_query() -> None:
    assert excerpt("text", marks_in("text", []), 10) == ("text", [])


def test_a_long_text_without_marks_is_cut_at_the_end_of_a_word() -> None:
    assert marked("It rained the whole day", chars=15) == "It rained the…"


def test_a_long_text_is_cut_around_the_marks() -> None:
    text = "It rained the whole day. The refund was refused. Then the sun shone."
    assert marked(text, chars=30) == "…The [refund] was [refused].…"
    assert marked(text, chars=45) == "…day. The [refund] was [refused]. Then the…"


def test_different_words_count_more_than_many_marks() -> None:
    text = "refund refund refund and so on and then refund refused by them at last"
    assert marked(text, chars=22) == "…[refund] [refused] by…"


def test_of_equally_good_places_the_first_is_shown() -> None:
    assert marked("x " * 9 + "refund " + "x " * 9 + "refund", chars=14).startswith("…x")
    assert marked("refund" + " x" * 30 + " refund", chars=12) == "[refund] x x…"


def test_a_mark_longer_than_the_excerpt_is_cut() -> None:
    assert marked("a " + "b" * 50, "b" * 50, chars=10) == f"…[{'b' * 8}]…"


def test_texts_without_spaces_are_cut_too() -> None:
    assert marked("漢" * 30, chars=10) == "漢" * 8 + CUT


WORDS = st.lists(
    st.sampled_from(["refund", "refused", "x", "weather", "漢字漢字", "é" * 9])
)


@given(WORDS, st.integers(3, 60))
def test_an_excerpt_is_a_marked_part_of_the_text_within_the_bound(
    words: list[str], chars: int
) -> None:
    text = " ".join(words)
    marks = marks_in(text, query_terms(QUERY))
    shown = excerpt(text, marks, chars)
    assert len(shown.text) <= chars
    assert shown.text.strip(CUT) in text
    for mark in shown.marks:
        word = shown.text[mark.start : mark.end]
        assert word
        assert "refund".startswith(word) or "refused".startswith(word)
    assert bool(shown.marks) == bool(marks)
