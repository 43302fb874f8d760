"""Records that `decode` rejects, with the reason of the dead letter."""

from datetime import timedelta
from typing import Any

from tests.support.builders import NOW, an_event, raw

BYTES_MAX = 2**20


def without(name: str) -> dict[str, Any]:
    event = an_event()
    del event[name]
    return event


def nested(levels: int) -> bytes:
    deep = b"[" * levels + b"]" * levels
    # The envelope and the payload are two levels themselves.
    return raw(an_event(payload={"role": "user", "content": "x", "deep": 0})).replace(
        b'"deep": 0', b'"deep": ' + deep
    )


def in_payload(text: bytes) -> bytes:
    event = an_event(payload={"role": "user", "content": "MARK"})
    return raw(event).replace(b'"MARK"', text)


BROKEN: dict[str, tuple[object, str]] = {
    "plain text": (b"hello", "not_json"),
    "half an object": (raw(an_event())[:-1], "not_json"),
    "text after the object": (raw(an_event()) + b"x", "not_json"),
    "single quotes": (b"{'id': 1}", "not_json"),
    "a byte-order mark": (b"\xef\xbb\xbf" + raw(an_event()), "not_json"),
    "only a blank": (b" ", "not_json"),
    "invalid UTF-8 in a payload": (in_payload(b'"\xff"'), "invalid_utf8"),
    "invalid UTF-8 in the agent": (
        raw(an_event(agent="a")).replace(b'"a"', b'"\xc3("'), "invalid_utf8",
    ),
    "UTF-16": ('{"id":1}'.encode("utf-16"), "invalid_utf8"),
    "a lone high surrogate": (in_payload(rb'"\ud800"'), "lone_surrogate"),
    "a lone low surrogate": (in_payload(rb'"\udc00 x"'), "lone_surrogate"),
    "NaN in a payload": (in_payload(b"NaN"), "nan_or_infinity"),
    "minus Infinity": (in_payload(b"-Infinity"), "nan_or_infinity"),
    "NaN as credits": (
        raw(an_event(meta={"credits_used": float("nan")})), "nan_or_infinity",
    ),
    "a reward beyond a double": (
        raw(an_event("completion", payload={"outcome": "success", "reward": 7}))
        .replace(b"7}", b"1e400}"),
        "nan_or_infinity",
    ),
    "an array": (b"[1, 2]", "not_an_object"),
    "a number": (b"12", "not_an_object"),
    "null": (b"null", "not_an_object"),
    "text in quotes": (b'"event"', "not_an_object"),
    "no id": (without("id"), "missing_field"),
    "no type": (without("type"), "missing_field"),
    "no timestamp": (without("timestamp"), "missing_field"),
    "no agent": (without("agent"), "missing_field"),
    "no payload": (without("payload"), "missing_field"),
    "no meta": (without("meta"), "missing_field"),
    "no session": (an_event() | {"meta": {}}, "missing_field"),
    "no tool": (an_event("tool_call", payload={"status": "error"}), "missing_field"),
    "no outcome": (an_event("completion", payload={}), "missing_field"),
    "a number as agent": (an_event(agent=5), "wrong_type"),
    "null as session": (an_event(meta={"session_id": None}), "wrong_type"),
    "a bool as credits": (an_event(meta={"credits_used": True}), "wrong_type"),
    "text as credits": (an_event(meta={"credits_used": "5"}), "wrong_type"),
    "text as reward": (
        an_event("completion", payload={"outcome": "success", "reward": "1"}),
        "wrong_type",
    ),
    "text as payload": (an_event(payload=None) | {"payload": "x"}, "wrong_type"),
    "a list as meta": (an_event() | {"meta": []}, "wrong_type"),
    "text in tags": (an_event(meta={"tags": "a"}), "wrong_type"),
    "a number in tags": (an_event(meta={"tags": [1]}), "wrong_type"),
    "a fraction as tokens": (
        an_event(payload={"role": "user", "content": "", "input_tokens": 1.5}),
        "wrong_type",
    ),
    "tokens beyond int64": (
        an_event(payload={"role": "user", "content": "", "input_tokens": 2**63}),
        "wrong_type",
    ),
    "tokens far below int64": (
        an_event(payload={"role": "user", "content": "", "output_tokens": -(10**30)}),
        "invalid_value",
    ),
    "negative tokens": (
        an_event(payload={"role": "user", "content": "", "output_tokens": -1}),
        "invalid_value",
    ),
    "negative credits": (an_event(meta={"credits_used": -0.5}), "invalid_value"
    ),
    "a number as timestamp": (an_event(timestamp=1_700_000_000), "wrong_type"),
    "an unknown type": (an_event(type="tool-call"), "unknown_type"),
    "an empty type": (an_event(type=""), "unknown_type"),
    "65 levels": (nested(63), "too_deep"),
    "70 levels": (nested(68), "too_deep"),
    "5,000 levels": (nested(5000), "too_deep"),
    "5,000 open levels": (b"[" * 5000, "too_deep"),
    "a byte over 1 MiB": (b"x" * (BYTES_MAX + 1), "too_large"),
    "a large valid event": (
        an_event(payload={"role": "user", "content": "x" * BYTES_MAX}), "too_large",
    ),
    "the last century": (
        an_event(timestamp="1999-12-31T23:59:59.999999Z"), "timestamp_out_of_range",
    ),
    "the year 1": (
        an_event(timestamp="0001-01-01T00:00:00+14:00"), "timestamp_out_of_range",
    ),
    "the year 9999": (
        an_event(timestamp="9999-12-31T23:59:59-12:00"), "timestamp_out_of_range",
    ),
    "six minutes ahead": (
        an_event(timestamp=(NOW + timedelta(minutes=6)).isoformat()),
        "timestamp_out_of_range",
    ),
    "a time without offset": (an_event(timestamp="2026-11-20T11:00:00"), "invalid_value"),
    "a date": (an_event(timestamp="2026-11-20"), "invalid_value"),
    "an id that is not a UUID": (an_event(id="event-1"), "invalid_value"),
    "an empty agent": (an_event(agent=""), "invalid_value"),
    "an agent of 201 letters": (an_event(agent="a" * 201), "invalid_value"),
    "an unknown status": (
        an_event("tool_call", payload={"tool": "t", "status": "ok"}), "invalid_value",
    ),
    "an unknown outcome": (
        an_event("completion", payload={"outcome": "done"}), "invalid_value",
    ),
    "an importance over 1": (an_event(meta={"importance": 1.5}), "invalid_value"),
    "a short hash": (an_event(meta={"context_hash": "sha256:ab"}), "invalid_value"),
}  # fmt: skip
