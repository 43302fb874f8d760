"""Identifiers have bounds: what is longer is a dead letter that names the field."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.decoding.decode import decode
from schemas import json_schema
from schemas.arrow import DECODED_EVENTS
from schemas.batches import Decoded
from semloop.agent.events import encode
from semloop.errors import EventRefused
from semloop.event import ID_CHARS_MAX, NAME_CHARS_MAX, TAGS_MAX
from tests.operators.broken_records import BYTES_MAX
from tests.operators.event_fields import FIELDS, IDENTIFIERS, Field, event_with
from tests.support.builders import NOW, a_poll, an_event
from tests.support.hostile_text import HOSTILE

VALIDATOR = jsonschema.Draft202012Validator(json_schema.schema())
# Texts and ids of a fixed form: only the whole event bounds the former.
TEXTS = {
    "task", "summary", "reason", "message", "stack", "content", "comment",
    "id", "context_hash",
}  # fmt: skip
EMOJI = "\U0001f600"


def decoded(*values: object) -> Decoded:
    return decode(a_poll(*values), NOW, BYTES_MAX)


def with_text(field: Field, text: str) -> dict[str, Any]:
    return event_with(field, [text] if field.values_max else text)


def sent(event: dict[str, Any]) -> bytes:
    """Encode an event as the producer's library does."""
    fields = (event["type"], event["id"], event["agent"], NOW, event["payload"])
    return encode(*fields, event["meta"], BYTES_MAX)


@pytest.mark.parametrize("field", IDENTIFIERS, ids=str)
def test_a_longer_identifier_is_a_dead_letter_that_names_the_field(
    field: Field,
) -> None:
    assert field.chars_max is not None
    fits = with_text(field, EMOJI * field.chars_max)
    longer = with_text(field, EMOJI * (field.chars_max + 1))
    result = decoded(fits, longer)
    path = field.path + ("[0]" if field.values_max else "")
    expected = f"{path}: expected text of at most {field.chars_max} characters"
    assert result.events.num_rows == 1
    (letter,) = result.dead_letters.to_pylist()
    assert (letter["reason"], letter["detail"]) == ("invalid_value", expected)
    assert (VALIDATOR.is_valid(fits), VALIDATOR.is_valid(longer)) == (True, False)
    assert sent(fits)
    with pytest.raises(EventRefused, match=field.name):
        sent(longer)


def test_what_is_neither_text_nor_of_a_fixed_form_has_a_bound() -> None:
    unbounded = {field.name for field in FIELDS if field.is_text} - TEXTS
    assert unbounded == {field.name for field in IDENTIFIERS}


def test_too_many_tags_are_a_dead_letter() -> None:
    tags = [str(number) for number in range(TAGS_MAX + 1)]
    result = decoded(an_event(meta={"tags": tags[1:]}), an_event(meta={"tags": tags}))
    assert result.events["tags"].to_pylist() == [tags[1:]]
    expected = f"meta.tags: expected an array of at most {TAGS_MAX} values"
    assert result.dead_letters["detail"].to_pylist() == [expected]


def test_a_dead_letter_has_no_longer_names_than_an_event() -> None:
    long = "x" * 100_000
    meta = {"session_id": long, "user_id": long}
    (letter,) = decoded(an_event(agent=long, meta=meta)).dead_letters.to_pylist()
    names = [letter[name] for name in ("agent", "session_id", "user_id")]
    assert [len(name) for name in names] == [NAME_CHARS_MAX, *[ID_CHARS_MAX] * 2]
    assert all(name.endswith("x…") for name in names)
    assert long[:100] not in letter["detail"]


@given(
    field=st.sampled_from(IDENTIFIERS),
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
    | st.text(HOSTILE, min_size=1),
)
def test_an_identifier_of_any_characters_is_stored_as_it_is(
    field: Field, text: str
) -> None:
    text = text[: field.chars_max]
    result = decoded(an_event(), with_text(field, text))
    assert result.events.num_rows == 2
    result.events.validate(full=True)
    # The event that a feedback names has no column, nor has the tool of a start:
    # queries that count calls by tool need not exclude it.
    if (
        field.name in DECODED_EVENTS.names
        and field.path != "payload.event_id"
        and field.kind != "tool_start"
    ):
        stored = result.events[field.name].to_pylist()[1]
        assert stored == ([text] if field.values_max else text)
