"""Texts of strangers cannot control the terminal that shows them."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.errors import ConfigError
from semloop.escaping import one_line, visible, visible_json
from tests.support.hostile_text import HOSTILE, hidden_in

texts = st.text() | st.text(HOSTILE) | st.text(st.characters(categories=["Cs", "Cf"]))


@given(texts)
def test_a_visible_text_has_no_hidden_character(text: str) -> None:
    shown = visible(text)
    assert hidden_in(shown) == set()
    shown.encode()
    assert visible(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "two\nlines\tand a tab",
        "日本語 ภาษาไทย العربية עברית हिन्दी",
        "👩‍💻 می‌خواهم Donau­dampf",
        "naïve café \N{NO-BREAK SPACE}",
    ],
)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    text = unicodedata.normalize("NFC", text)
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ""),
        ("a\n\tb\u2028c ", "a b c"),
        ("\x1b[2J\r\u202e", r"\u001b[2J\u000d\u202e"),
        ("\x9b31m\0\ud800\U000e0041", r"\u009b31m\u0000\ud800\U000e0041"),
    ],
)
def test_one_line_escapes_what_is_hidden(text: str | None, expected: str) -> None:
    assert one_line(text) == expected


@given(st.lists(st.text() | st.text(HOSTILE)))
def test_json_stays_equal_and_has_no_hidden_character(value: list[str]) -> None:
    document = visible_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(document) == value
    assert hidden_in(document) == set()


def test_an_error_escapes_what_it_quotes() -> None:
    error = ConfigError("There is no \x1b]0;x\x07 here.", "Try \u202eit.")
    assert str(error) == "There is no \\u001b]0;x\\u0007 here.\nTry \\u202eit."
