"""Splitting of texts that are too long for a model."""

import sys
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.memories import splitter
from operators.memories.splitter import parts_of, perhaps_long, token_count
from semloop.errors import MissingExtra
from semloop.extras import install_todo

# Words, punctuation and spaces, and texts that a tokenizer splits, joins or drops.
PIECES = st.sampled_from(
    [
        "hello", "unbelievableness", "3.14", "e.g.", ". ", "! ", "\" ", ".", "。", "中文",
        "각힣", "한국어", "\U0001f600", "é", "e\u0301", "\u0301", "\x00", "\x1c", "\x85", "\u200b",
        "\u2028", " ", "  ", "\n", "x" * 120, "İ", "ᄀ", "क़", "\U0001d15f", "Zm9vYmFy",
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=400),
    st.lists(PIECES, max_size=80).map("".join),
    # Long enough to be split, with fewer choices to draw.
    st.lists(PIECES, min_size=1, max_size=20).map(lambda pieces: "".join(pieces) * 25),
)


@given(text=TEXTS, tokens=st.sampled_from([100, 119, 240]))
def test_parts_are_bounded_and_drop_only_spaces(text: str, tokens: int) -> None:
    parts = parts_of(text, tokens)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(part == part.strip() != "" for part in parts)
    assert all(token_count(part) <= tokens for part in parts)


@given(texts=st.lists(TEXTS, max_size=5))
def test_a_text_that_is_not_perhaps_long_has_at_most_240_tokens(
    texts: list[str],
) -> None:
    rows = perhaps_long(pa.array(texts, pa.string()))
    for row, text in enumerate(texts):
        assert token_count(text) <= len(unicodedata.normalize("NFD", text))
        assert row in rows or token_count(text) <= 240


def test_a_syllable_counts_as_several_tokens() -> None:
    assert perhaps_long(pa.array(["a" * 240, "각" * 80, "각" * 81, None])) == [2]
    assert token_count("각" * 30) == 90
    assert list(map(len, parts_of("각각 " * 60, 100))) == [47, 47, 47, 35]
    assert list(map(len, parts_of("각각 " * 33, 100))) == [47, 47, 2]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        pytest.param("One two three four five. " * 50, "four five.", id="sentences"),
        pytest.param('He wrote "no way!" ' * 80, 'no way!"', id="quotes"),
        pytest.param(
            "我们去看看那本书。" * 60, "那本书。", id="no space after a sentence"
        ),
        pytest.param("one-two-three-four " * 90, "four", id="spaces"),
        pytest.param("version 3.14 of it " * 90, " it", id="numbers"),
        pytest.param("{'a':1,'b':2}," * 90, None, id="no boundary"),
    ],
)
def test_a_part_ends_at_a_natural_boundary(text: str, ends: str | None) -> None:
    parts = parts_of(text)
    assert len(parts) > 1
    for part in parts[:-1]:
        assert 160 <= token_count(part) <= 240
        if ends == " it":
            assert part.split()[-1] in text.split()
        elif ends:
            assert part.endswith(ends)
        else:
            assert token_count(part) == 240


def test_characters_without_a_token_are_not_lost_at_a_split() -> None:
    text = "word\u200b " * 500
    assert " ".join(parts_of(text)) == text.strip()


def test_a_sentence_that_ends_early_does_not_shorten_a_part() -> None:
    first, _ = parts_of("A sentence. " + "word " * 400)
    assert token_count(first) == 240


def test_short_texts_are_not_split_and_need_no_tokenizer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(splitter, "need", None)
    splitter._tokenizer.cache_clear()
    assert parts_of(" a. b\n" + "x" * 200) == ["a. b\n" + "x" * 200]
    assert parts_of("é" * 120) == ["é" * 120]
    assert parts_of(" \n\u2028") == []


def test_the_error_names_the_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    splitter._tokenizer.cache_clear()
    with pytest.raises(MissingExtra, match=r"'tokenizers' is not installed") as caught:
        parts_of("word " * 100)
    assert caught.value.todo == install_todo("query")
