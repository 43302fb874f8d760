"""JSON values are shown as what they say."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.texts.readable import readable

pytestmark = pytest.mark.unit

PLAIN = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='\\"'),
)


def shown(value: object) -> str:
    return readable(msgspec.Raw(json.dumps(value).encode()))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("plain", "plain", id="a string"),
        pytest.param({"a": [1, None]}, '{"a": [1, null]}', id="an object"),
        pytest.param({"q": "退款 👍"}, '{"q": "退款 👍"}', id="escaped characters"),
        pytest.param({"out": "a\nFAILED\tb"}, '{"out": "a\nFAILED\tb"}', id="line breaks"),
        pytest.param({"a": 'say "hi"'}, '{"a": "say "hi""}', id="quotes"),
        pytest.param({"p": "C:\\new\\table"}, '{"p": "C:\\new\\table"}', id="a path of Windows"),
        pytest.param("C:\\new\\table", "C:\\new\\table", id="a path alone"),
        pytest.param(json.dumps({"out": "a\nb 退款"}), '{"out": "a\nb 退款"}', id="JSON in a string"),
        pytest.param({"r": json.dumps({"out": "a\nb"})}, '{"r": "{"out": "a\nb"}"}', id="JSON in JSON"),
        pytest.param({"r": json.dumps([json.dumps({"out": "a\nb"})])}, '{"r": "["{"out": "a\nb"}"]"}', id="JSON in JSON in JSON"),
    ],
)  # fmt: skip
def test_a_value_is_shown_without_escapes(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_lone_surrogate_stays_escaped() -> None:
    assert readable(msgspec.Raw(b'{"a": "\\ud83d"}')) == '{"a": "\\ud83d"}'


@given(PLAIN)
def test_plain_texts_are_shown_as_they_are(text: str) -> None:
    assert shown(text) == text
    assert shown([text]) == f'["{text}"]'
