"""A row becomes an event, and the same row comes out of it again."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.event import decode_payload
from semloop.rows.columns import USUAL, Columns
from semloop.rows.row_event import RowEvents, row_of

NAMES = st.sampled_from(
    [*(name for names in USUAL.values() for name in names), "stars"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() |
    st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
ROWS = st.dictionaries(NAMES, VALUES, max_size=6)


def events(**columns: str) -> RowEvents:
    return RowEvents("notes", Columns(columns), "bot")


def made(row: dict[str, Any], **columns: str) -> tuple[str, dict[str, Any]]:
    event = events(**columns).event_of(row)
    assert event is not None
    return event.kind, event.payload


@given(ROWS)
def test_a_row_of_any_values_is_a_valid_event_or_none_and_comes_back(
    row: dict[str, Any],
) -> None:
    event = events().event_of(row)
    if event is None:
        return
    raw = msgspec.json.encode(event.payload)
    decode_payload[event.kind](msgspec.Raw(raw))
    stored = msgspec.json.decode(raw)
    kept = {name: value for name, value in row.items() if value not in (None, "")}
    assert row_of(stored) == msgspec.json.decode(msgspec.json.encode(kept))


@given(st.lists(ROWS, max_size=8), st.lists(ROWS, max_size=4))
def test_ids_are_distinct_and_stay_when_rows_are_added(
    rows: list[dict[str, Any]], more: list[dict[str, Any]]
) -> None:
    # Rows with an id of their own are one event however often they are there.
    rows = [{n: v for n, v in row.items() if n != "event_id"} for row in [*rows, *more]]
    first, both = events(), events()
    before = [e.id for row in rows[: -len(more) or None] if (e := first.event_of(row))]
    after = [e.id for row in rows if (e := both.event_of(row))]
    assert after[: len(before)] == before
    assert len(set(after)) == len(after)


@pytest.mark.parametrize(
    ("row", "kind", "fields"),
    [
        ({"text": "tea"}, "message", {"role": "assistant", "content": "tea"}),
        ({"text": "tea", "speaker": "Human"}, "message", {"role": "user"}),
        ({"text": "tea", "prompt_tokens": "7"}, "message", {"input_tokens": 7}),
        ({"text": {"a": 1}}, "message", {"content": '{"a":1}'}),
        (
            {"tool": "find", "args": '{"a":1}'},
            "tool_call",
            {"arguments": {"a": 1}, "status": "success"},
        ),
        ({"tool": "find", "status": "failed"}, "tool_call", {"status": "error"}),
        (
            {"tool": "find", "error": "Timeout"},
            "tool_call",
            {"status": "error", "error_type": "Timeout"},
        ),
        ({"tool": "find", "error": False}, "tool_call", {"status": "success"}),
        ({"tool": "find", "duration_ms": "1.5"}, "tool_call", {"duration_ms": 1.5}),
        ({"reward": "0.5"}, "completion", {"outcome": "partial", "reward": 0.5}),
        ({"outcome": "failure"}, "completion", {"outcome": "failure"}),
        (
            {"type": "completion", "reward": 1, "text": "done"},
            "completion",
            {"outcome": "success"},
        ),
    ],
)
def test_columns_of_usual_names_become_fields(
    row: dict[str, Any], kind: str, fields: dict[str, Any]
) -> None:
    found, payload = made(row)
    assert found == kind
    assert {name: payload.get(name) for name in fields} == fields


def test_who_and_where_of_a_row_go_into_the_envelope() -> None:
    row = {
        "text": "tea", "agent": "ada", "session": "s1", "namespace": "n", "user": 7,
        "credits": "2", "created_at": 1763636400,
    }  # fmt: skip
    event = events().event_of(row)
    assert event is not None
    assert event.agent == "ada"
    assert event.meta == {
        "session_id": "s1", "namespace": "n", "user_id": "7", "credits_used": 2.0,
    }  # fmt: skip
    assert event.time == 1763636400
    unnamed = events().event_of({"text": "tea"})
    assert unnamed is not None
    assert (unnamed.agent, unnamed.meta["session_id"]) == ("bot", "notes")


def test_a_chosen_column_comes_before_the_usual_ones_and_may_be_inside_others() -> None:
    row = {"text": "no", "body": {"plain": "yes"}, "who": "ada"}
    _, payload = made(row, content="body.plain")
    assert payload["content"] == "yes"
    assert payload["source"] == row
    event = events(agent="who").event_of(row)
    assert event is not None
    assert event.agent == "ada"


@pytest.mark.parametrize(
    "row", [{}, {"stars": 5}, {"text": ""}, {"text": None}, {"outcome": "won"}]
)
def test_a_row_without_content_is_no_event(row: dict[str, Any]) -> None:
    assert events().event_of(row) is None


def test_the_number_of_a_row_does_not_change_its_id() -> None:
    one = events().event_of({"text": "tea", "_id": 1})
    other = events().event_of({"text": "tea", "_id": 2})
    assert one is not None
    assert other is not None
    assert one.id == other.id


def test_a_row_with_an_id_keeps_it_when_the_rest_changes() -> None:
    one = events(id="key").event_of({"text": "tea", "key": 4})
    other = events(id="key").event_of({"text": "coffee", "key": 4})
    assert one is not None
    assert other is not None
    assert one.id == other.id
