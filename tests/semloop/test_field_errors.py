"""What a user reads about a wrong value: the field, what it got, what is allowed."""

import copy
import json
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.event import PAYLOADS, Envelope
from semloop.field_errors import FieldError, Kind, allowed_values, explain
from tests.support.builders import an_event


def explained(**changes: Any) -> FieldError:
    """Return the error of an event with some values changed, by path."""
    event = copy.deepcopy(an_event())
    for path, value in changes.items():
        target = event
        *parents, name = path.split("__")
        for parent in parents:
            target = target[parent]
        target[name] = value
    try:
        envelope = msgspec.json.decode(json.dumps(event), type=Envelope)
    except msgspec.ValidationError as error:
        return explain(error, Envelope)
    struct = PAYLOADS[envelope.type]
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(envelope.payload, type=struct)
    return explain(refused.value, struct, "payload")


TIME = "expected an RFC 3339 time with offset, such as 2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"payload__role": "human"}, Kind.VALUE, 'payload.role: "human" is not one of user, assistant, system, tool'),
        ({"type": "tool_use"}, Kind.VALUE, 'type: "tool_use" is not one of tool_call, state_change, completion, error, message, feedback, tool_start'),
        ({"timestamp": "26.11.2026 10:00"}, Kind.VALUE, f"timestamp: {TIME}"),
        ({"timestamp": "2026-11-26T10:00:00"}, Kind.VALUE, f"timestamp: {TIME}"),
        ({"timestamp": 1764150000}, Kind.TYPE, f"timestamp: {TIME}"),
        ({"meta__credits_used": "12"}, Kind.TYPE, "meta.credits_used: expected a number or null, got text"),
        ({"meta__credits_used": True}, Kind.TYPE, "meta.credits_used: expected a number or null, got a boolean"),
        ({"meta__tags": "one,two"}, Kind.TYPE, "meta.tags: expected an array or null, got text"),
        ({"meta__tags": ["one", 2]}, Kind.TYPE, "meta.tags[1]: expected text, got an integer"),
        ({"meta": {}}, Kind.MISSING, "meta.session_id: this field is required"),
        ({"meta": 3}, Kind.TYPE, "meta: expected an object, got an integer"),
        ({"meta__importance": 2}, Kind.VALUE, "meta.importance: expected a number of at most 1"),
        ({"payload__input_tokens": 2**70}, Kind.TYPE, "payload.input_tokens: expected an integer of at most 64 bits"),
        ({"payload__input_tokens": -1}, Kind.VALUE, "payload.input_tokens: expected an integer of at least 0"),
        ({"meta__credits_used": -0.5}, Kind.VALUE, "meta.credits_used: expected a number of at least 0"),
        ({"payload__content": None}, Kind.TYPE, "payload.content: expected text, got null"),
        ({"payload": []}, Kind.TYPE, "payload: expected an object, got an array"),
        ({"agent": ""}, Kind.VALUE, "agent: expected text of at least 1 character"),
        ({"meta__session_id": "s" * 501}, Kind.VALUE, "meta.session_id: expected text of at most 500 characters"),
        ({"meta__tags": ["t"] * 101}, Kind.VALUE, "meta.tags: expected an array of at most 100 values"),
        ({"agent": "a" * 201}, Kind.VALUE, "agent: expected text of at most 200 characters"),
    ],
)  # fmt: skip
def test_an_error_names_the_field_and_what_is_allowed(
    changes: dict[str, Any], kind: Kind, text: str
) -> None:
    assert explained(**changes) == FieldError(kind, text.partition(":")[0], text)


@given(
    st.text().filter(lambda text: text not in ("user", "assistant", "system", "tool"))
)
def test_an_error_quotes_a_value_only_if_it_is_one_word(text: str) -> None:
    error = explained(payload__role=text).text
    is_word = (
        text.isascii()
        and len(text) <= 32
        and text.replace("_", "a").replace("-", "a").isalpha()
        and text[0].isalpha()
    )
    given = f'"{text}"' if is_word else "the value"
    assert error == f"payload.role: {given} is not one of user, assistant, system, tool"


class Inner(msgspec.Struct):
    color: Literal["red", "green"] | None = None


class Outer(msgspec.Struct):
    inner: Inner | None = None


def test_allowed_values_are_found_below_optional_structs() -> None:
    assert allowed_values(Outer, "inner.color") == ("red", "green")
