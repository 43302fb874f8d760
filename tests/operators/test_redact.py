"""Redaction of Arrow batches: all private columns, only the affected rows."""

import json
from collections.abc import Sequence
from random import Random
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.redaction.redact import redact, suspects
from schemas.arrow import RECORDS
from semloop.redaction.redactor import Redactor
from semloop.settings import Secret
from tests.semloop.redaction.private_texts import PRIVATE, PUBLIC
from tests.support.builders import an_event

KEY = Secret("a key for tests only, 32 letters")
REDACTOR = Redactor(KEY)
OWN = Redactor(KEY, ["seat", "gate2"], {"badge": r"EMP-\d+|(?i:é)\d|\bfare\b"})
ANCHORED = Redactor(KEY, patterns={"airport": "^[A-Z]{3}$"})
REDACTORS = st.sampled_from([REDACTOR, OWN, ANCHORED])


def a_batch(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None = None,
    headers: Sequence[str | None] | None = None,
) -> pa.RecordBatch:
    columns = {
        "value": pa.array(values, pa.binary()),
        "key": pa.array(keys or [b"s-1"] * len(values), pa.binary()),
        "headers": pa.array(headers or ["[]"] * len(values), pa.string()),
    }
    arrays = [columns.get(f.name, pa.nulls(len(values), f.type)) for f in RECORDS]
    return pa.RecordBatch.from_arrays(arrays, schema=RECORDS)


def column(batch: pa.RecordBatch, name: str) -> list[bytes | None]:
    rows: list[bytes | None] = batch.column(name).to_pylist()
    return rows


def test_a_batch_without_private_content_is_returned_unchanged() -> None:
    batch = a_batch([json.dumps(an_event()).encode(), None, b"", b"{", b"\xff"])
    assert redact(batch, REDACTOR, 2**20) is batch


def test_only_rows_with_private_content_change() -> None:
    clean = b'{ "a" : 51.10 , "a":1e2}'
    batch = a_batch(
        [clean, b'{"a": "ann@x.org", "n": 51.10}', None, b"ann@x.org", clean]
    )
    cleaned = column(redact(batch, REDACTOR, 2**20), "value")
    assert [cleaned[0], cleaned[2], cleaned[4]] == [clean, None, clean]
    email = REDACTOR.text("ann@x.org").encode()
    assert cleaned[1] == b'{"a": "%s", "n": 51.10}' % email
    assert cleaned[3] == email


def test_only_value_key_and_headers_change() -> None:
    batch = a_batch([b'{"dob": 1}'], [b"ann@x.org"], ['[["pwd","x1y2z3"]]'])
    cleaned = redact(batch, REDACTOR, 2**20)
    assert cleaned.schema == RECORDS
    changed = {f.name for f in RECORDS if cleaned[f.name] != batch[f.name]}
    assert changed == {"value", "key", "headers"}


def test_too_long_values_are_not_redacted_but_their_keys_are() -> None:
    value = b'"ann@x.org"'
    batch = a_batch([value, value], [b"ann@x.org"] * 2)
    assert column(redact(batch, REDACTOR, len(value)), "value")[0] != value
    cleaned = redact(batch, REDACTOR, len(value) - 1)
    assert column(cleaned, "value") == [value, value]
    assert b"ann@x.org" not in column(cleaned, "key")


def test_the_gates_let_a_pattern_match_at_the_ends_of_a_value() -> None:
    cleaned = redact(a_batch([b'{"from": "OSL"}']), ANCHORED, 2**20)
    assert b'{"from": "<airport:' in cleaned["value"][0].as_py()


@pytest.mark.parametrize("session", ["ann@x.org", '{"pin": 4821}', "a\0n\0n ann@x.org"])
def test_a_key_stays_equal_to_the_session_id(session: str) -> None:
    record = json.dumps({"session_id": session}).encode()
    cleaned = redact(a_batch([record], [session.encode()]), REDACTOR, 2**20)
    key, value = cleaned["key"][0].as_py(), cleaned["value"][0].as_py()
    assert key != session.encode()
    assert json.loads(value)["session_id"].encode() == key


def test_header_names_are_treated_as_keys() -> None:
    headers = (
        '[["Authorization","Bearer abc"],["trace",null],["to","ann@x.org"],["a","b"]]'
    )
    batch = a_batch([b"{}", b"{}"], headers=[headers, None])
    cleaned, missing = column(redact(batch, REDACTOR, 2**20), "headers")
    assert cleaned is not None
    assert missing is None
    authorization, trace, to, other = json.loads(cleaned)
    assert authorization[1].startswith("<authorization:")
    assert trace == ["trace", None]
    assert to[1].startswith("<email:")
    assert other == ["a", "b"]


def test_headers_that_are_not_pairs_are_redacted_as_json() -> None:
    batch = a_batch([b"{}"], headers=['{"to": "ann@x.org"}'])
    assert "ann" not in str(column(redact(batch, REDACTOR, 2**20), "headers"))


def test_slices_of_a_batch_are_redacted_at_the_right_rows() -> None:
    rows = [b'{"a": "ann@x.org"}', b'{"a": 1}', b'{"a": "bob@x.org"}', b'{"a": 2}']
    whole = a_batch(rows)
    for start in range(4):
        part = redact(whole.slice(start, 2), REDACTOR, 2**20)
        expected = [REDACTOR.json(row) for row in rows[start : start + 2]]
        assert column(part, "value") == expected


@pytest.mark.parametrize("private", ["4111-1111-1111-1111", "pwd=a1b2c3", "a@b.io"])
def test_a_private_row_is_found_between_other_rows(private: str) -> None:
    for other in (b"{}", b"", b"no brace", b"}"):
        batch = a_batch([other, private.encode(), other])
        rows = column(redact(batch, REDACTOR, 2**20), "value")
        assert rows == [other, REDACTOR.json(private.encode()), other]
        assert private.encode() not in rows


def test_redacting_a_batch_twice_changes_nothing() -> None:
    batch = a_batch([text.encode() for text, _, _ in PRIVATE.values()])
    once = redact(batch, REDACTOR, 2**20)
    assert redact(once, REDACTOR, 2**20) == once


@pytest.mark.parametrize("kind", ["tool_call", "state_change", "completion", "error",
                                  "message", "feedback"])  # fmt: skip
def test_the_gates_do_not_match_ordinary_events(kind: str) -> None:
    meta = {
        "session_id": "s-1",
        "context_hash": "sha256:" + "4" * 64,
        "user_id": "mia_3",
    }
    payload = an_event(kind)["payload"] | {"input_tokens": 5, "output_tokens": 7}
    # Random UUIDs can look like card numbers, so these are fixed.
    random = Random(1)
    ids = [str(UUID(int=random.getrandbits(128), version=4)) for _ in range(50)]
    events = [json.dumps(an_event(kind, id=i, meta=meta, payload=payload)) for i in ids]
    values = pa.array([event.encode() for event in events], pa.binary())
    assert suspects(values, REDACTOR) == []


def test_the_gates_do_not_match_public_text() -> None:
    ordinary = ["a date", "times", "a UUID", "a UUID of digits", "a hash",
                "payment ids", "a reservation", "a flight", "prices", "a version",
                "a call id", "epoch milliseconds"]  # fmt: skip
    values = pa.array([PUBLIC[name].encode() for name in ordinary], pa.binary())
    assert suspects(values, REDACTOR) == []


def test_the_gates_search_each_row_separately() -> None:
    # Without a separator, neither word would end at the end of its row.
    values = pa.array([b"a token", b"s and 4111111111111111", b"1", b"x"], pa.binary())
    assert suspects(values, REDACTOR) == [0, 1]


PIECES = [text for text, _, _ in PRIVATE.values()] + list(PUBLIC.values())
PARTS = st.sampled_from(
    [*PIECES, '"', "\\", '\\"', "{", "}", "[", "]", ":", ",", " ", "\n", "\\n", "'",
     "=", "\\u0040", "\\u00e9", "é", "\0", "1", "4111", "a", "A", "_", "-", ".", "@",
     "token", "dob", "api", "key", '"dob":', "EMP-7", "É7", "SEA", "seat", "gate2",
     "fare", "<", ">", "<dob:0123456789ab>"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(PARTS, st.text(max_size=3)), max_size=8).map("".join)
RECORDS_OF_TEXT = st.one_of(
    TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
    TEXTS.map(lambda text: json.dumps({"a": [text], text: 1}).encode()),
    TEXTS.map(lambda text: json.dumps(json.dumps({"dob": text, "b": text})).encode()),
    TEXTS.map(lambda text: text.encode("utf-16", "surrogatepass")),
    st.binary(max_size=20),
)


@given(RECORDS_OF_TEXT, REDACTORS)
def test_the_gates_match_every_record_that_redaction_changes(
    record: bytes, redactor: Redactor
) -> None:
    if redactor.json(record) != record:
        rows = pa.array([b"{}", record, b"{}"], pa.binary())
        assert 1 in suspects(rows, redactor)
        assert suspects(rows.slice(1, 1), redactor) == [0]


@given(RECORDS_OF_TEXT, REDACTORS)
def test_redaction_is_idempotent(record: bytes, redactor: Redactor) -> None:
    once = redactor.json(record)
    assert redactor.json(once) == once


@given(TEXTS)
def test_valid_json_stays_valid_and_keeps_its_shape(text: str) -> None:
    record = json.dumps([{"a": text, "dob": [text, 1.50]}, text], indent=1).encode()
    (first, last) = json.loads(REDACTOR.json(record))
    assert list(first) == ["a", "dob"]
    assert len(first["dob"]) == 2
    assert isinstance(last, str)
