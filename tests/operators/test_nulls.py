"""null is the same as an absent field where a field is optional, and nowhere else."""

import jsonschema
import pytest

from operators.decoding.decode import decode
from schemas import json_schema
from schemas.batches import Decoded
from tests.operators.broken_records import BYTES_MAX
from tests.operators.event_fields import FIELDS, Field, event_with
from tests.support.builders import NOW, a_poll, an_event

VALIDATOR = jsonschema.Draft202012Validator(json_schema.schema())


def decoded(*values: object) -> Decoded:
    return decode(a_poll(*values), NOW, BYTES_MAX)


@pytest.mark.parametrize("field", [f for f in FIELDS if not f.required], ids=str)
def test_null_is_the_same_as_an_absent_optional_field(field: Field) -> None:
    rows = [
        decoded(event_with(field, value)).events.drop_columns("payload").to_pylist()
        for value in (None, ...)
    ]
    assert len(rows[0]) == 1
    assert rows[0] == rows[1]
    assert VALIDATOR.is_valid(event_with(field, None))


@pytest.mark.parametrize("field", [f for f in FIELDS if f.required], ids=str)
def test_null_in_a_required_field_is_a_dead_letter_that_names_it(field: Field) -> None:
    (letter,) = decoded(event_with(field, None)).dead_letters.to_pylist()
    assert letter["reason"] == "wrong_type"
    assert letter["detail"].startswith(f"{field.path}: expected ")
    assert not VALIDATOR.is_valid(event_with(field, None))


def test_null_is_the_default_value() -> None:
    meta = {"namespace": None, "credits_used": None}
    rows = decoded(an_event(), an_event(meta=meta), an_event(meta={"namespace": "n"}))
    assert rows.events["namespace"].to_pylist() == ["default", "default", "n"]
    assert rows.events["credits_used"].to_pylist() == [0.0, 0.0, 0.0]
