"""Marks of replayed records."""

import pytest

from schemas.replay import (
    ATTEMPT_HEADER,
    LETTER_HEADER,
    ORIGIN_HEADER,
    Mark,
    decode_mark,
)

MARK = Mark("0c8f5f0e-3d0b-4c55-9d4f-6f6f5d1f2a77", "vB/FqZ3pQ9+wx0LJzTsa4A/0/17", 2)


def headers(**changed: str | None) -> dict[str, str | None]:
    """Return the headers of `MARK`, some replaced."""
    found = {name: value.decode() for name, value in MARK.headers()}
    names = {
        "letter": LETTER_HEADER,
        "origin": ORIGIN_HEADER,
        "attempt": ATTEMPT_HEADER,
    }
    return found | {names[name]: value for name, value in changed.items()}


def test_a_mark_is_read_from_its_headers_and_its_text() -> None:
    assert Mark.of({**headers(), "other": None}) == MARK
    assert decode_mark(MARK.text()) == MARK


@pytest.mark.parametrize(
    "changed",
    [
        {"letter": None},
        {"letter": "ann@example.com"},
        {"letter": MARK.letter.upper()},
        {"letter": f"{MARK.letter}\n"},
        {"origin": None},
        {"origin": "ann@example.com/0/1"},
        {"origin": f"{'x' * 64}/0/1"},
        {"origin": "topic/0"},
        {"attempt": None},
        {"attempt": "0"},
        {"attempt": "-1"},
        {"attempt": "१"},
        {"attempt": "9" * 10},
    ],
)
def test_other_values_make_no_mark(changed: dict[str, str | None]) -> None:
    assert Mark.of(headers(**changed)) is None


@pytest.mark.parametrize("name", [LETTER_HEADER, ORIGIN_HEADER, ATTEMPT_HEADER])
def test_a_header_is_not_missing_in_a_mark(name: str) -> None:
    assert Mark.of({n: v for n, v in headers().items() if n != name}) is None
