"""What an event says about the version, prompt and run, and about its tokens."""

from semloop.event import Meta
from tests.operators.test_decode import decoded
from tests.support.builders import PAYLOADS, an_event

VERSIONS = {
    "agent_version": "1.4.0", "prompt_id": "p", "prompt_version": "7", "run_id": "r",
}  # fmt: skip
TOKENS = {"cached_tokens": 3, "reasoning_tokens": 2**63 - 1}


def test_versions_and_tokens_are_columns() -> None:
    payload = PAYLOADS["message"] | TOKENS
    event = an_event("message", payload=payload, meta=VERSIONS)
    (row,) = decoded(event).events.to_pylist()
    expected = VERSIONS | TOKENS | {"extra": None}
    assert {name: row[name] for name in expected} == expected


def test_versions_and_tokens_are_optional() -> None:
    absent = dict.fromkeys((*VERSIONS, *TOKENS))
    nulls = an_event(payload=PAYLOADS["message"] | dict.fromkeys(TOKENS), meta=absent)
    for event in (an_event(), nulls, an_event("completion")):
        (row,) = decoded(event).events.to_pylist()
        assert {name: row[name] for name in absent} == absent


def test_a_version_that_is_too_long_makes_a_dead_letter() -> None:
    letters = decoded(an_event(meta={"agent_version": "v" * 201})).dead_letters
    assert letters["reason"].to_pylist() == ["invalid_value"]
    assert letters["detail"][0].as_py().startswith("meta.agent_version")
    assert VERSIONS.keys() <= set(Meta.__struct_fields__)
