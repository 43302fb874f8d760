"""What becomes of the Python values that an agent records."""

import dataclasses
import enum
import uuid
from collections import ChainMap, OrderedDict, UserList, deque, namedtuple
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from unittest.mock import Mock

import attrs
import msgspec
import numpy as np
import pyarrow as pa
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sdk.recorded_events import Recorded, recorded, stored

SOME_ID = "3f2b8a52-6a1e-4c1d-9a7e-0d5b8c1f2a3b"


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Flight:
    number: str
    stops: object


@attrs.define
class Seat:
    row: int


class Hotel(pydantic.BaseModel):
    stars: int
    password: pydantic.SecretStr


class Room(msgspec.Struct):
    bed: int


Point = namedtuple("Point", "x y")


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Text("sub"), "sub"),
        (np.float64(1.5), 1.5),
        (np.int8(-3), -3),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        (np.array(7), 7),
        (np.datetime64("2026-01-01T10:00"), "2026-01-01T10:00"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(["2026-01-01", "NaT"], "M8[ns]"), ["2026-01-01T00:00:00", None]),
        (np.zeros((2, 0)), [[], []]),
        (pa.table({"a": [1, None]}), [{"a": 1}, {"a": None}]),
        (Flight("SK1", [Flight("SK2", None)]),
         {"number": "SK1", "stops": [{"number": "SK2", "stops": None}]}),
        (Seat(12), {"row": 12}),
        (Hotel(stars=4, password=pydantic.SecretStr("x")),
         {"stars": 4, "password": "SecretStr('**********')"}),
        (Room(2), {"bed": 2}),
        (Point(1, 2.5), {"x": 1, "y": 2.5}),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z"),
        (date(2026, 1, 1), "2026-01-01"),
        (time(10, 30), "10:30:00"),
        (timedelta(seconds=90), "PT90S"),
        (Decimal("1.50"), "1.50"),
        (Fraction(1, 3), "1/3"),
        (1 + 2j, "(1+2j)"),
        (uuid.UUID(SOME_ID), SOME_ID),
        (PurePosixPath("/tmp/a"), "/tmp/a"),
        (b"\x00\xff", {"base64": "AP8=", "bytes": 2}),
        (memoryview(b"abcd")[::2], {"base64": "YWM=", "bytes": 2}),
        ({7}, [7]),
        (deque([1, 2]), [1, 2]),
        (UserList([1]), [1]),
        (range(3), [0, 1, 2]),
        ({1: 2}.values(), [2]),
        (OrderedDict(a=1), {"a": 1}),
        (ChainMap({"a": 1}), {"a": 1}),
        ({1: "a", None: "b", (1, 2): "c", Colour.RED: "d", 1.5: "e"},
         {"1": "a", "null": "b", "(1, 2)": "c", "red": "d", "1.5": "e"}),
        ({1: "a", "1": "b"}, {"1": "a", "1 (2)": "b"}),
        ("\ud83d\ude00 \ud83d", "\U0001f600 \ufffd"),
        ({"\ud83d": 1}, {"\ufffd": 1}),
        (Flight, f"{__name__}.Flight"),
        (ValueError("x"), "ValueError('x')"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_becomes_json_without_loss(value: object, expected: object) -> None:
    assert recorded(value) == (expected, [])
    assert recorded([{"deep": value}]) == ([{"deep": expected}], [])


@pytest.mark.parametrize(
    ("value", "expected", "note"),
    [
        (float("nan"), None, "NaN became null"),
        (float("-inf"), None, "an infinite number became null"),
        (np.float32("nan"), None, "NaN became null"),
        (Decimal("NaN"), None, "NaN became null"),
        (2**70, str(2**70), "an integer over 64 bits became text"),
    ],
)
def test_a_number_that_json_lacks_is_marked(
    value: object, expected: object, note: str
) -> None:
    assert recorded([1, value]) == ([1, expected], [f"result.1: {note}"])


class Broken:
    """Raises wherever it is touched."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error

    __str__ = __repr__

    def __iter__(self) -> Any:
        raise self.error


class BrokenModel(Broken):
    def model_dump(self) -> dict[str, object]:
        raise self.error


class BrokenMapping(dict[str, int]):
    def items(self) -> Any:
        raise KeyError

    def __repr__(self) -> str:
        return "a broken mapping"


class PanicException(BaseException):
    """As extensions in Rust raise it."""


@pytest.mark.parametrize(
    "value",
    [
        Broken(ValueError()), Broken(RecursionError()), Broken(PanicException()),
        BrokenModel(KeyError()), BrokenMapping(a=1),
    ],
)  # fmt: skip
def test_a_value_that_raises_is_replaced_and_marked(value: object) -> None:
    result, notes = recorded({"good": 1, "bad": value})
    assert result["good"] == 1
    assert "broken mapping" in result["bad"] or "not readable" in result["bad"]
    assert ["result.bad: not readable: " in note for note in notes] == [True]


class Emitting:
    """Emits two events with itself whenever it is printed."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded

    def __repr__(self) -> str:
        self.recorded.session.message("user", self)
        self.recorded.session.tool_call("t", {1: self}, call_id=self)
        return "emitting"

    __str__ = __repr__


def test_a_repr_that_emits_events_is_not_called_for_these() -> None:
    recorded = Recorded()
    value = Emitting(recorded)
    recorded.session.tool_call("t", {"value": value})
    *nested, last = recorded.payloads
    assert last["arguments"] == {"value": "emitting"}
    assert [payload.get("content") or payload["arguments"] for payload in nested] == [
        "<Emitting: not readable>", {"1": "<Emitting: not readable>"},
    ]  # fmt: skip


def test_a_mock_is_written_as_it_prints() -> None:
    mock = Mock(name="tool")
    assert recorded(mock) == (repr(mock), [])
    assert mock.mock_calls == []


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(),
    st.text(st.characters(categories=["Cs"])), st.binary(), st.uuids(), st.decimals(),
    st.datetimes(), st.timedeltas(), st.fractions(), st.complex_numbers(),
    st.sampled_from([Colour.RED, Seat(1), object(), print]),
    st.builds(Broken, st.builds(ValueError)),
    st.floats(width=32).map(np.float32), st.integers(-9, 9).map(np.int64),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda children: st.one_of(
        st.lists(children),
        st.lists(children).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.none()), children),
        st.builds(Flight, st.text(), children),
        st.builds(lambda value: np.array([value, None], object), children),
    ),
    max_leaves=30,
)


@given(VALUES, VALUES, VALUES, VALUES)
def test_any_value_in_any_field_makes_an_event_that_the_archive_accepts(
    first: object, second: object, third: object, fourth: object
) -> None:
    tool = {"tool": first, "arguments": second, "result": third, "call_id": fourth}
    tool |= {"duration_ms": first, "error_type": second, "unknown": third}
    stored("tool_call", tool | {"status": "error"}, task=first, tags=second)
    message = {"content": first, "model": second, "input_tokens": third}
    stored("message", message | {"role": "user"}, credits_used=fourth, importance=first)
    stored("error", {"error_type": first, "message": second, "recoverable": third})
    rating = {"name": first, "score": second, "label": third, "event_id": fourth}
    stored("feedback", rating | {"source": "human"}, user_id=first, trace_id=second)
