"""A row becomes an event, and the same row comes out of it again."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.event import decode_payload
from semloop.rows.columns import USUAL, Columns
from semloop.rows.row_event import RowEvents, UnusableName, row_of

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


def ids(rows: list[dict[str, Any]]) -> list[str]:
    found, made = [], events()
    for row in rows:
        with suppress(UnusableName):
            if event := made.event_of(row):
                found.append(event.id)
    return found


@given(ROWS)
def test_a_row_of_any_values_is_a_valid_event_or_none_and_comes_back(
    row: dict[str, Any],
) -> None:
    try:
        event = events().event_of(row)
    except UnusableName:
        return
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
    before, after = ids(rows), ids([*rows, *more])
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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"user": "ann"}, {"user": "bob"}),
        ({"store": "a"}, {"store": "b"}),
        ({"namespace": "a"}, {"namespace": "b"}),
        ({"agent": "a"}, {"agent": "b"}),
    ],
)
def test_equal_rows_of_different_owners_are_different_events(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    given: dict[str, Any] = {"store": "s", "columns": Columns({}), "agent": "bot"}
    made = [RowEvents(**(given | own)) for own in (one, other)]
    ids = [event.id for m in made if (event := m.event_of({"text": "tea"}))]
    assert len(set(ids)) == len({m.key for m in made}) == 2


@pytest.mark.parametrize("value", ["x" * 501, {"id": "bob"}, ["bob"]])
@pytest.mark.parametrize("name", ["user", "session", "agent", "namespace"])
def test_a_name_that_cannot_be_used_never_becomes_the_default(
    name: str, value: object
) -> None:
    with pytest.raises(UnusableName):
        RowEvents("s", Columns({}), "bot", user="ann").event_of(
            {"text": "a", name: value}
        )


@pytest.mark.parametrize(
    ("row", "failed"),
    [
        ({"error": "False", "status": "ok"}, False), ({"error": "0"}, False),
        ({"error": "None"}, False), ({"error": True}, True), ({"error": "boom"}, True),
        ({"status": "timeout"}, True), ({"success": False}, True), ({"success": "true"}, False),
        ({"exit_code": "1"}, True), ({"exit_code": 0}, False), ({"is_error": "true"}, True),
    ],
)  # fmt: skip
def test_failure_is_read_from_words_flags_and_codes(
    row: dict[str, Any], *, failed: bool
) -> None:
    _, payload = made({"tool": "find", **row})
    assert payload["status"] == ("error" if failed else "success")
    assert payload.get("error_type") == ("boom" if row.get("error") == "boom" else None)
