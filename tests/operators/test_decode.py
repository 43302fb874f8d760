"""Decoding and validation: every reason of a dead letter, in several forms."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.decoding.decode import decode
from schemas.arrow import DECODED_DEAD_LETTERS, DECODED_EVENTS
from schemas.batches import Decoded
from tests.operators.broken_records import (
    BROKEN,
    BYTES_MAX,
    nested,
)
from tests.support.builders import NOW, PAYLOADS, a_poll, an_event, raw

# Only a text with one of these needs another form to be one line.
BREAK = re.compile(r"[\n\r\t\0]")


def decoded(*values: object, **poll: Any) -> Decoded:
    return decode(a_poll(*values, **poll), NOW, BYTES_MAX)


def reasons(result: Decoded) -> list[str]:
    found: list[str] = result.dead_letters["reason"].to_pylist()
    return found


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_becomes_one_dead_letter_with_its_reason(name: str) -> None:
    value, reason = BROKEN[name]
    result = decoded(an_event(), value, an_event())
    assert reasons(result) == [reason]
    assert result.events["kafka_offset"].to_pylist() == [0, 2]
    assert result.dead_letters["kafka_offset"].to_pylist() == [1]


def test_each_broken_record_of_a_poll_has_its_own_reason() -> None:
    result = decoded(*(value for value, _ in BROKEN.values()))
    assert reasons(result) == [reason for _, reason in BROKEN.values()]
    assert result.events.num_rows == 0


def test_the_detail_never_contains_a_value() -> None:
    secret = "hunter2secret"
    events = [
        an_event(type=secret), an_event(id=secret), an_event(timestamp=secret),
        an_event(meta={"credits_used": secret}), an_event(agent=[secret]),
        an_event("tool_call", payload={"tool": "t", "status": secret}),
        an_event(meta={"context_hash": secret}), an_event(meta={secret: 1}, id=secret),
        secret.encode(), b'{"%s' % secret.encode(), an_event(meta={secret: 1}, agent=1),
    ]  # fmt: skip
    result = decoded(*events)
    assert result.dead_letters.num_rows == len(events)
    assert not any(
        secret in detail for detail in result.dead_letters["detail"].to_pylist()
    )


def test_an_unknown_schema_version_is_a_dead_letter() -> None:
    assert reasons(decoded(an_event(), schema_version="2")) == ["unknown_schema"]
    assert reasons(decoded(an_event(), schema_version="")) == ["unknown_schema"]
    assert reasons(decoded(an_event(), schema_version="1")) == []


def test_tombstones_and_empty_values_are_skipped_and_counted() -> None:
    result = decoded(None, b"", an_event())
    assert (result.skipped, result.events.num_rows) == (2, 1)
    assert result.dead_letters.num_rows == 0


def test_a_too_large_record_is_stored_as_hash_and_origin_only() -> None:
    letter = decoded(b"x" * (BYTES_MAX + 1)).dead_letters.to_pylist()[0]
    assert letter["raw"] is None
    assert letter["detail"].startswith(
        f"{BYTES_MAX + 1} bytes, at most {BYTES_MAX} are allowed; sha256:"
    )


def test_the_limit_applies_to_what_was_produced() -> None:
    grown = an_event(payload={"role": "user", "content": "x" * BYTES_MAX})
    shrunk = an_event()
    poll = replace(a_poll(grown, shrunk), sizes=pa.array([BYTES_MAX, BYTES_MAX + 1]))
    result = decode(poll, NOW, BYTES_MAX)
    assert result.events["kafka_offset"].to_pylist() == [0]
    assert reasons(result) == ["too_large"]
    assert f"{BYTES_MAX + 1} bytes" in result.dead_letters["detail"][0].as_py()


def test_a_too_large_record_is_stored_without_names() -> None:
    # It was not redacted, so only its hash may be stored.
    big = an_event(agent="a" * BYTES_MAX, meta={"user_id": "ann@example.com"})
    for version in (None, "2"):
        letter = decoded(big, schema_version=version).dead_letters.to_pylist()[0]
        assert letter["reason"] == "too_large"
        names = ("agent", "session_id", "user_id", "raw")
        assert [letter[name] for name in names] == [None] * 4


def test_the_detail_contains_the_path_and_the_expectation() -> None:
    details = decoded(
        an_event(agent=""), an_event(meta={"credits_used": "5"}), an_event(type="?")
    ).dead_letters["detail"].to_pylist()  # fmt: skip
    assert details[0] == "agent: expected text of at least 1 character"
    assert details[1] == "meta.credits_used: expected a number or null, got text"
    assert details[2].startswith(
        "type: the value is not one of tool_call, state_change"
    )


def test_a_dead_letter_names_agent_session_and_user_if_readable() -> None:
    value = an_event(type="?", meta={"session_id": "s-9", "user_id": "u-9"})
    letter = decoded(value).dead_letters.to_pylist()[0]
    assert (letter["agent"], letter["session_id"], letter["user_id"]) == (
        "tester", "s-9", "u-9",
    )  # fmt: skip
    assert letter["raw"] == raw(value)
    assert (letter["topic_id"], letter["kafka_partition"]) == ("topic-1", 0)


def test_a_dead_letter_has_the_same_id_when_it_is_read_again() -> None:
    first = decoded(b"x", first=7).dead_letters["id"]
    assert first == decoded(b"x", first=7).dead_letters["id"]
    assert first != decoded(b"x", first=8).dead_letters["id"]


def test_the_idempotency_key_is_the_id_of_a_dead_letter() -> None:
    key = "0b0a8ac8-0000-4000-8000-000000000001"
    result = decoded(b"x", an_event(id=key), idempotency_keys=[key, key])
    assert result.dead_letters["id"].to_pylist() == [key]
    assert result.redelivered_ids == {key}


@pytest.mark.parametrize("kind", PAYLOADS)
def test_every_type_of_event_decodes(kind: str) -> None:
    result = decoded(an_event(kind))
    assert result.events["type"].to_pylist() == [kind]
    assert result.events.schema == DECODED_EVENTS
    assert result.dead_letters.schema == DECODED_DEAD_LETTERS


def test_columns_come_from_envelope_meta_and_payload() -> None:
    meta = {
        "session_id": "s", "namespace": "n", "credits_used": 2, "user_id": "u",
        "context_hash": "sha256:" + "a" * 64, "task": "t", "task_type": "tt",
        "tags": ["x", "y"], "trace_id": "1", "span_id": "2", "parent_span_id": "3",
        "importance": 1,
    }  # fmt: skip
    payload = {
        "tool": "search", "status": "error", "arguments": {"q": "a"}, "result": "no\nway",
        "duration_ms": 12, "error_type": "Timeout",
    }  # fmt: skip
    event = an_event("tool_call", payload=payload, meta=meta)
    row = decoded(event).events.to_pylist()[0]
    expected = {k: v for k, v in meta.items()} | {
        "event_id": event["id"], "tool": "search", "status": "error",
        "duration_ms": 12.0, "error_type": "Timeout", "extra": None,
        "payload": json.dumps(payload), "text": 'search error {"q": "a"} -> no way',
        "ts": datetime(2026, 11, 20, 11, 59, tzinfo=UTC), "kafka_ts": NOW,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


def test_the_task_of_a_completion_is_used_if_meta_has_none() -> None:
    payload = {"outcome": "partial", "task": "from payload", "reward": 1e300}
    from_payload, from_meta = decoded(
        an_event("completion", payload=payload),
        an_event("completion", payload=payload, meta={"task": "from meta"}),
    ).events.to_pylist()
    assert (from_payload["task"], from_meta["task"], from_payload["reward"]) == (
        "from payload",
        "from meta",
        1e300,
    )


def test_unknown_fields_are_stored_in_extra() -> None:
    event = an_event(meta={"region": "eu", "deep": {"a": 1}}, version=[1.50, None])
    result = decoded(an_event(), event)
    extra = json.loads(result.events["extra"].to_pylist()[1])
    assert extra == {"version": [1.5, None], "meta": {"region": "eu", "deep": {"a": 1}}}
    assert result.events["extra"].to_pylist()[0] is None


def test_the_payload_is_stored_as_the_producers_own_bytes() -> None:
    payload = (
        b'{ "content" : "a\\u0000b\\/",\t"role":"user", "n": 1e2, "big": '
        + b"9" * 40
        + b"}"
    )
    value = raw(an_event()).replace(raw(PAYLOADS["message"]), payload)
    result = decoded(value)
    assert result.events["payload"].to_pylist() == [payload.decode()]
    assert result.events["text"].to_pylist() == ["a b/"]


def test_the_last_of_duplicate_keys_is_stored() -> None:
    value = raw(an_event(agent="last")).replace(b'"type"', b'"agent": "first", "type"')
    assert decoded(value).events["agent"].to_pylist() == ["last"]


def test_64_levels_are_stored() -> None:
    assert decoded(nested(62)).events.num_rows == 1


def test_brackets_inside_text_are_not_levels() -> None:
    event = an_event(payload={"role": "user", "content": '[{"' * 200})
    assert decoded(event).events.num_rows == 1


@pytest.mark.parametrize("form", ["upper", "without hyphens", "in braces"], ids=str)
def test_an_id_is_stored_in_canonical_form(form: str) -> None:
    event = an_event()
    plain = event["id"]
    forms = {
        "upper": plain.upper(),
        "without hyphens": plain.replace("-", ""),
        "in braces": "{" + plain + "}",
    }
    result = decoded(an_event(), event | {"id": forms[form]})
    assert result.events["event_id"].to_pylist()[1] == plain


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (
            "2026-11-20T13:30:00.123456+02:00",
            datetime(2026, 11, 20, 11, 30, 0, 123456, UTC),
        ),
        ("2026-11-20t11:30:00z", datetime(2026, 11, 20, 11, 30, tzinfo=UTC)),
        ("2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
        ("2026-11-20T12:05:00Z", NOW + timedelta(minutes=5)),
    ],
    ids=["an offset", "small letters", "the first moment", "five minutes ahead"],
)
def test_timestamps_are_stored_as_utc(text: str, stored: datetime) -> None:
    assert decoded(an_event(timestamp=text)).events["ts"].to_pylist() == [stored]


def test_a_timestamp_is_compared_with_an_earlier_kafka_timestamp() -> None:
    value = an_event(timestamp="2026-11-20T11:00:00Z")
    early = NOW - timedelta(hours=2)
    assert reasons(decoded(value, kafka_ts=early)) == ["timestamp_out_of_range"]
    assert reasons(decoded(value, kafka_ts=None)) == []


def test_records_whose_key_is_not_the_session_are_counted_as_misrouted() -> None:
    result = decoded(*[an_event()] * 3, keys=[b"s-1", b"other", None])
    assert (result.misrouted, result.events.num_rows) == ({0: 2}, 3)


def test_a_poll_without_records_is_decoded() -> None:
    result = decoded()
    assert (result.events.num_rows, result.dead_letters.num_rows) == (0, 0)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    values=st.lists(
        st.none()
        | st.binary()
        | json_values.map(lambda v: json.dumps(v).encode())
        | st.builds(an_event, st.sampled_from(sorted(PAYLOADS)))
        | st.dictionaries(st.sampled_from(sorted(an_event())), json_values),
        max_size=6,
    )
)
def test_every_record_is_one_event_or_one_dead_letter_or_skipped(
    values: list[object],
) -> None:
    result = decoded(*values)
    events = result.events["kafka_offset"].to_pylist()
    dead = result.dead_letters["kafka_offset"].to_pylist()
    assert len(events) + len(dead) + result.skipped == len(values)
    assert not set(events) & set(dead)
    result.events.validate(full=True)


@given(st.text(" \t\n\r\f\v\0ab", max_size=12))
def test_runs_of_spaces_and_breaks_become_one_space(content: str) -> None:
    result = decoded(an_event(payload={"role": "user", "content": content}))
    expected = (
        re.sub(r"[ \t\n\r\f\0]+", " ", content) if BREAK.search(content) else content
    )
    assert result.events["text"].to_pylist() == [expected]
