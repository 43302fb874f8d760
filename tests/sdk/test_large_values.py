"""Values that are too long, too deep or too large for an event, or endless."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.sdk.recorded_events import recorded, stored

pytestmark = pytest.mark.slow

# A quarter of the usual limit: the time that the archive takes depends on the size.
SMALL_BYTES_MAX = 2**20


def a_cycle() -> list[object]:
    cycle: list[object] = []
    cycle += [cycle, {"again": cycle}]
    return cycle


def nested(levels: int) -> object:
    value: object = "end"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def shared(levels: int) -> object:
    """A value that has 2 ** levels parts, but takes no memory."""
    value: object = {"end": 1}
    for _ in range(levels):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (a_cycle, "a container inside itself"),
        (lambda: nested(57), "over 56 levels"),
        (lambda: nested(100_000), "over 56 levels"),
        (lambda: shared(50), "values"),
        (lambda: ["x" * 10**6] * 10**5, "characters"),
        (lambda: list(range(10**6)), "shortened to 50,000 of 1,000,000 values"),
        (lambda: range(10**15), "shortened to 50,000 of 1,000,000,000,000,000 values"),
        (lambda: np.zeros((10**4, 10**3)), "shortened to 10 of 10,000 values"),
        (lambda: "é" * 5_000_000, "characters"),
        (lambda: "\x01" * 1_000_000, "shortened from 1,000,000 characters"),
        (lambda: b"x" * 10**7, "shortened to 262,144 of 10,000,000 bytes"),
        (lambda: [["y" * 50] * 1000] * 100, ""),
        (lambda: {f"{n}" + "k" * 600: n for n in range(50_000)}, "of 50,000 values"),
        (lambda: {"\x01" * 400 + f"{n}": [n] for n in range(9_999)}, "of 9,999 values"),
        (lambda: np.full((9, 9_999), "2026-01-01", "M8[ns]"), "shortened to 1 of 9"),
        (lambda: 10**5000, "an integer over 64 bits became text"),
    ],
    ids=[
        "cycle", "deep", "very deep", "shared", "one text often", "long list", "range",
        "array", "text", "escaped text", "bytes", "lists", "long keys",
        "escaped keys", "times", "integer",
    ],
)  # fmt: skip
def test_a_value_that_is_too_large_is_shortened_and_marked(
    make: Callable[[], object], note: str
) -> None:
    result, notes = recorded(make(), bytes_max=SMALL_BYTES_MAX)
    assert result is not None
    assert any(note in text for text in notes) or not note
    assert len(notes) <= 21


def test_a_mapping_of_many_texts_loses_those_at_its_end() -> None:
    result, notes = recorded({str(n): "z" * 90 for n in range(50_000)})
    assert list(result) == [str(n) for n in range(len(result))]
    assert any("of 50,000 values" in text for text in notes)


def test_the_largest_values_are_shortened_first_and_keep_both_ends() -> None:
    log = "begin " + "x" * 4_000_000 + " end"
    result, notes = recorded({"log": log, "rows": ["y" * 1_000_000], "answer": 42})
    assert (result["answer"], result["rows"]) == (42, ["y" * 1_000_000])
    assert result["log"].startswith("begin xxx")
    assert result["log"].endswith("xxx end")
    assert " […shortened…] " in result["log"]
    assert notes == ["result.log: shortened from 4,000,010 characters"]


def test_all_texts_of_an_event_share_its_size() -> None:
    error = {"error_type": "E", "message": "m" * 3 * 10**6, "stack": "s" * 3 * 10**6}
    found = stored("error", error, task="t" * 3 * 10**6)
    sizes = [len(found["payload"]["message"]), len(found["meta"]["task"])]
    assert max(sizes) - min(sizes) < 100
    assert len(found["payload"]["semloop_notes"]) == 3
