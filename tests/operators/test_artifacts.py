"""Values move out of large records, and can be restored byte for byte."""

import json
import re
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.artifacts.choose import PLACEHOLDER_BYTES_MAX, VALUE_BYTES_MIN
from operators.artifacts.move import LONG_TEXTS, move, move_large_values
from operators.decoding.artifact_column import name_artifacts
from operators.decoding.decode import decode
from schemas.batches import Decoded
from semloop.artifacts import decode_references, restore
from semloop.event import PAYLOADS
from tests.support.builders import NOW, a_poll, an_event, raw
from tests.support.examples import examples

ROW_BYTES = 100_000
RECORD_BYTES = 4 * 2**20
BIG = 150_000


def moved(*values: object) -> Decoded:
    poll = move_large_values(a_poll(*values), ROW_BYTES, RECORD_BYTES)
    return decode(poll, NOW, RECORD_BYTES)


def whole_payload(decoded: Decoded, row: int = 0) -> bytes:
    """Return the payload of an event with its artifacts in their places."""
    event = decoded.events.slice(row, 1).to_pylist()[0]
    references = decode_references(event["artifacts"])
    return restore(
        event["payload"],
        [(r, decoded.artifacts[r.object]) for r in references if r.column == "payload"],
    )


def payload_of(record: bytes) -> bytes:
    """Return the bytes of the last payload of a record made by `json.dumps`."""
    return json.dumps(json.loads(record)["payload"]).encode()


def tool_call(**payload: Any) -> dict[str, Any]:
    return an_event("tool_call", payload={"tool": "t", "status": "success", **payload})


@pytest.mark.parametrize(
    ("event", "paths"),
    [
        (tool_call(result="ä" * BIG), ["$.payload.result"]),
        (tool_call(result={"a": [1, {"b c": "x" * BIG}]}), ['$.payload.result.a[1]["b c"]']),
        (tool_call(result=[[n, n] for n in range(BIG // 5)]), ["$.payload.result"]),
        (tool_call(arguments={"rows": ["some text"] * (BIG // 5), "n": 1}),
         ["$.payload.arguments.rows"]),
        (tool_call(arguments="y" * BIG, result="z" * BIG, more="w" * BIG),
         ["$.payload.arguments", "$.payload.result", "$.payload.more"]),
        (an_event(payload={"role": "user", "content": "x" * BIG}), ["$.payload.content"]),
        (an_event("error", payload={"error_type": "E", "message": "m", "stack": "s" * BIG}),
         ["$.payload.stack"]),
        (an_event(meta={"task": "x" * BIG}), ["$.meta.task"]),
        (an_event("completion", payload={"outcome": "success", "task": "x" * BIG}),
         ["$.payload.task"]),
        (an_event(more={"deep": "x" * BIG}), ["$.more.deep"]),
        (an_event(meta={"more": ["x" * BIG]}), ["$.meta.more[0]"]),
    ],
)  # fmt: skip
def test_the_largest_values_of_a_large_record_become_artifacts(
    event: dict[str, Any], paths: list[str]
) -> None:
    decoded = moved(an_event(), event)
    assert decoded.events.num_rows == 2
    columns = decoded.events.to_pylist()[1]
    references = decode_references(columns["artifacts"])
    assert [r.path for r in references] == paths
    assert {r.object for r in references} == decoded.artifacts.keys()
    fields = (columns["payload"], columns["extra"], columns["task"])
    size = sum(len((field or "").encode()) for field in fields)
    assert size <= ROW_BYTES
    assert whole_payload(decoded, 1) == payload_of(raw(event))
    assert decoded.events["artifacts"][0].as_py() is None


def test_a_placeholder_shows_both_ends_size_and_hash() -> None:
    content = "first words " + "x" * BIG + " last words"
    decoded = moved(tool_call(result=content))
    (reference,) = decode_references(decoded.events["artifacts"][0].as_py())
    shown = json.loads(decoded.events["payload"][0].as_py())["result"]
    assert shown.startswith("first words xxx")
    assert shown.endswith("xxx last words")
    note = f"[... {len(content) + 2:,} bytes in all, artifact 0, sha256:{reference.sha256} ...]"
    assert note in shown
    assert json.loads(decoded.artifacts[reference.object]) == content


def test_a_record_within_the_limit_is_not_changed() -> None:
    poll = a_poll(an_event(payload={"role": "user", "content": "x" * (ROW_BYTES // 2)}))
    assert move_large_values(poll, ROW_BYTES, RECORD_BYTES) is poll


def test_a_field_of_another_type_stays_an_error() -> None:
    content = ["a part"] * (BIG // 5)
    event = an_event(payload={"role": "user", "content": content})
    decoded = moved(event)
    assert decoded.dead_letters["reason"].to_pylist() == ["wrong_type"]
    # The dead letter has the record as it was.
    assert decoded.dead_letters["raw"].to_pylist() == [raw(event)]
    assert not decoded.artifacts


@pytest.mark.parametrize(
    "value",
    [
        b'{"payload": "' + b"x" * BIG,
        b"[" * BIG,
        b'"' + b"x" * BIG + b'"',
        b'{"payload": {}, "meta": 1, "type": "message", "x": "' + b"x" * BIG + b'"}',
        b'{"payload": ' + b'{"a":' * 100 + b'"' + b"x" * BIG + b'"' + b"}" * 101,
        b'{"a": "\xff' + b"x" * BIG + b'"}',
        json.dumps(an_event(payload={"role": "user", "content": "\ud800" + "x" * BIG})).encode(),
    ],
)  # fmt: skip
def test_an_invalid_record_is_a_dead_letter_as_it_was(value: bytes) -> None:
    decoded = moved(value)
    assert decoded.dead_letters["raw"].to_pylist() == [value]


def test_a_payload_that_another_one_replaces_moves_nothing() -> None:
    event = raw(an_event(payload={"role": "user", "content": "short"}))
    twice = b'{"payload": {"role": "user", "content": "%s"}, %s' % (
        b"x" * BIG,
        event[1:],
    )
    decoded = moved(twice)
    assert decoded.events["text"].to_pylist() == ["short"]
    assert not decoded.artifacts


def test_a_record_above_the_limit_of_records_keeps_only_its_hash() -> None:
    poll = move_large_values(a_poll(tool_call(result="x" * BIG)), ROW_BYTES, BIG)
    decoded = decode(poll, NOW, BIG)
    assert decoded.dead_letters["reason"].to_pylist() == ["too_large"]
    assert decoded.dead_letters["raw"].to_pylist() == [None]


def test_nothing_in_a_payload_names_an_artifact() -> None:
    forged = [
        {
            "column": "payload",
            "path": "$",
            "object": "artifacts/x",
            "bytes": 1,
            "sha256": "0",
        }
    ]
    decoded = moved(an_event(artifacts=forged, payload={
        "role": "user", "content": "x", "artifacts": forged,
    }))  # fmt: skip
    assert decoded.events["artifacts"].to_pylist() == [None]


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=20)
    | st.builds(lambda text, n: (text + "é\n\"\\") * n, st.text(max_size=8), st.integers(1, 8_000))
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=6)
    | st.dictionaries(st.text(max_size=6), inner, max_size=6)
    | st.builds(lambda item, n: [item] * n, st.integers() | st.text(max_size=5), st.integers(1, 9_000)),
    max_leaves=12,
)  # fmt: skip


@examples(8)
@given(VALUES, VALUES, VALUES, st.booleans(), st.sampled_from([1_000, 20_000, 60_000]))
def test_any_payload_is_restored_byte_for_byte(
    arguments: object, result: object, more: object, ascii_only: bool, limit: int
) -> None:
    event = tool_call(arguments=arguments, result=result)
    event["meta"]["more"] = event["more"] = more
    record = json.dumps(event, ensure_ascii=ascii_only).encode("utf-8", "replace")
    record = record.replace(b'"payload"', b' "payload" \t', 1)
    large = move(record, limit)
    poll = move_large_values(a_poll(record), limit, RECORD_BYTES)
    decoded = decode(poll, NOW, RECORD_BYTES)
    before = decode(a_poll(record), NOW, RECORD_BYTES)
    assert decoded.events.num_rows == before.events.num_rows
    if not decoded.events.num_rows:
        return
    assert whole_payload(decoded) == before.events["payload"][0].as_py().encode()
    row, old = decoded.events.to_pylist()[0], before.events.to_pylist()[0]
    assert len(row["payload"]) <= len(old["payload"])
    for value in large.values:
        assert len(value.content) >= VALUE_BYTES_MIN
    # All that is left is smaller than what may be moved.
    if len(row["payload"].encode()) > limit + 3 * PLACEHOLDER_BYTES_MAX:
        kept = json.loads(row["payload"])
        biggest = max(len(json.dumps(kept.get(k))) for k in ("arguments", "result"))
        assert biggest < VALUE_BYTES_MIN * 2 + len(large.values) * PLACEHOLDER_BYTES_MAX


def test_an_object_name_has_no_further_folder() -> None:
    large = move(raw(tool_call(result="x" * BIG)), ROW_BYTES)
    events = moved(tool_call(result="x" * BIG)).events
    at = events.schema.get_field_index("topic_id")
    events = events.set_column(at, "topic_id", pa.array(["a+b/c=="]))
    _, contents = name_artifacts(events, [0], {0: large}, "cluster-1")
    assert [name.count("/") for name in contents] == [5]
    assert re.search(r"/a-b_c==\.[0-9a-f]{8}-0-0-0-", next(iter(contents)))


def test_names_depend_on_origin_and_session_and_repeat_on_another_read() -> None:
    events = [tool_call(result="x" * BIG), an_event(meta={"namespace": "b"}, payload={
        "role": "user", "content": "x" * BIG}), tool_call(result="x" * BIG)]  # fmt: skip
    decoded = moved(*events)
    assert len(decoded.artifacts) == 3
    assert moved(*events).artifacts == decoded.artifacts
    folders = [name.rsplit("/", 1)[0] for name in decoded.artifacts]
    assert folders[0] == folders[2] != folders[1]
    assert all(f.startswith("artifacts/2026/11/20/") for f in folders)


def test_only_texts_without_a_bound_are_moved() -> None:
    unbounded = {
        field.name
        for struct in PAYLOADS.values()
        for field in msgspec.inspect.type_info(struct).fields  # type: ignore[attr-defined]
        if any(
            isinstance(kind, msgspec.inspect.StrType) and kind.max_length is None
            for kind in getattr(field.type, "types", [field.type])
        )
    }
    assert unbounded == LONG_TEXTS
