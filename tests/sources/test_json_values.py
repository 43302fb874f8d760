"""Values are cut out of a stream byte for byte, in any layout and any pieces."""

import io
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.lines import TooLong
from sources.transcripts import json_values
from sources.transcripts.json_values import layout_of, values_of

texts = st.text(max_size=8) | st.sampled_from(['"', "\\", '\\"', "\\\\", "}]", "{[,"])
json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.lists(st.dictionaries(texts, json, max_size=3), min_size=1, max_size=6)


def a_stream(content: bytes) -> io.BufferedReader:
    """Return bytes as a stream with a buffer."""
    return cast(io.BufferedReader, io.BufferedReader(io.BytesIO(content)))


def cut(content: bytes) -> list[bytes]:
    """Cut a stream into its values."""
    found = list(values_of(a_stream(content), layout_of(content)))
    assert not any(isinstance(value, TooLong) for value in found)
    return [value[1] for value in found]  # type: ignore[index]


@given(objects, st.integers(1, 40))
def test_values_of_every_layout_are_found(given_: list[Any], piece: int) -> None:
    before = json_values._PIECE_BYTES
    json_values._PIECE_BYTES = piece
    try:
        whole = [msgspec.json.encode(value) for value in given_]
        assert cut(b"[" + b",".join(whole) + b"]") == whole
        assert cut(b" [\n" + b" ,\n".join(whole) + b"\n]\n") == whole
        indented = [msgspec.json.format(value) for value in whole]
        assert cut(b"[\n" + b",\n".join(indented) + b"\n]") == indented
        assert cut(b"\n".join(whole) + b"\n") == whole
        # Alone an empty object looks like a line.
        if whole[0] != b"{}":
            assert cut(b"\n\n".join(indented)) == indented
    finally:
        json_values._PIECE_BYTES = before


@pytest.mark.parametrize("end", [b"", b'{"a":"', b'{"a":[1,'])
def test_an_array_without_its_end_is_reported(end: bytes) -> None:
    content = b'[{"a":1},' + end
    found = values_of(a_stream(content), layout_of(content))
    assert next(found) == (1, b'{"a":1}')
    with pytest.raises(ValueError, match="ends inside an array"):
        next(found)


def test_a_value_that_is_too_long_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "VALUE_BYTES_MAX", 20)
    monkeypatch.setattr(json_values, "_PIECE_BYTES", 8)
    content = b'[{"a":1},{"b":"' + b"x" * 50 + b'"},{"c":2}]'
    first, second, third = values_of(a_stream(content), layout_of(content))
    assert (first, third) == ((1, b'{"a":1}'), (3, b'{"c":2}'))
    assert isinstance(second, TooLong)
    assert second.line == 2
