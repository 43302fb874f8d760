import json
from typing import Any

import jsonschema
import msgspec
import pytest

from schemas import json_schema
from semloop import event

ID = "0b9d7e1c-5f0e-4c39-9d5a-0a1b2c3d4e5f"
PAYLOADS: dict[str, dict[str, Any]] = {
    "tool_call": {"tool": "search", "status": "success", "arguments": [1, None]},
    "state_change": {"to_state": "done"},
    "completion": {"outcome": "partial", "reward": 0.5},
    "error": {"error_type": "Timeout", "message": "no answer", "recoverable": True},
    "message": {"role": "user", "content": "hello", "input_tokens": 3},
    "feedback": {"name": "helpful", "source": "human", "score": 1, "event_id": ID},
    "tool_start": {"tool": "search", "running_ms": 10_000},
}


def an_event(event_type: str = "message", **changes: Any) -> dict[str, Any]:
    sample = {
        "id": ID,
        "type": event_type,
        "timestamp": "2026-01-02T03:04:05.000006+02:00",
        "agent": "booker",
        "payload": PAYLOADS[event_type],
        "meta": {"session_id": "s1", "tags": ["a"], "importance": 0.5},
    }
    return {name: v for name, v in {**sample, **changes}.items() if v is not ...}


def is_valid(sample: dict[str, Any]) -> bool:
    validator = jsonschema.Draft202012Validator(
        json_schema.schema(), format_checker=jsonschema.FormatChecker()
    )
    return validator.is_valid(sample)


def is_decoded(sample: dict[str, Any]) -> bool:
    try:
        envelope = event.decode_envelope(json.dumps(sample).encode())
        event.decode_payload[envelope.type](envelope.payload)
    except msgspec.DecodeError:
        return False
    return True


def test_the_schema_files_are_up_to_date() -> None:
    texts = json_schema.texts()
    files = json_schema.FILE.parent.glob("*.schema.json")
    assert {file: file.read_text("utf-8") for file in files} == texts, (
        "run: python -m schemas.json_schema"
    )


def test_the_generated_json_schemas_are_valid() -> None:
    for text in json_schema.texts().values():
        jsonschema.Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize("event_type", event.EVENT_TYPES)
def test_schema_and_decoder_accept_a_valid_event(event_type: str) -> None:
    assert is_valid(an_event(event_type))
    assert is_decoded(an_event(event_type))


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(an_event(agent=...), id="missing field"),
        pytest.param(an_event(agent=""), id="empty agent"),
        pytest.param(an_event(agent="x" * 201), id="agent too long"),
        pytest.param(an_event(type="thought", payload={}), id="unknown type"),
        pytest.param(an_event(timestamp=5), id="number as timestamp"),
        pytest.param(an_event(payload=[]), id="list as payload"),
        pytest.param(an_event(payload={"tool": "x"}), id="payload of another type"),
        pytest.param(
            an_event("completion", payload={"outcome": "won"}), id="unknown outcome"
        ),
        pytest.param(
            an_event("completion", payload={"outcome": "success", "reward": True}),
            id="bool as number",
        ),
        pytest.param(
            an_event(payload={"role": "user", "content": "", "input_tokens": 2**63}),
            id="integer beyond int64",
        ),
        pytest.param(an_event(meta={}), id="missing session"),
        pytest.param(
            an_event(meta={"session_id": "s", "importance": 1.5}), id="importance > 1"
        ),
        pytest.param(
            an_event(meta={"session_id": "s", "tags": [1]}), id="number as tag"
        ),
    ],
)
def test_schema_and_decoder_reject_an_invalid_event(sample: dict[str, Any]) -> None:
    assert not is_valid(sample)
    assert not is_decoded(sample)


def test_schema_and_decoder_allow_unknown_fields() -> None:
    sample = an_event(team="blue", meta={"session_id": "s", "shift": 2})
    assert is_valid(sample)
    assert is_decoded(sample)


def test_a_raw_field_accepts_any_json() -> None:
    values: list[Any] = [None, True, 1.5, "x", [], {"a": {}}]
    for value in values:
        sample = an_event(
            "tool_call", payload={"tool": "t", "status": "error", "result": value}
        )
        assert is_valid(sample)
        assert is_decoded(sample)
