"""Sessions of any format come out as valid ATIF, and back as the same events."""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given

from sources.transcripts.atif_writer import HEAD, StoredEvent, trajectory_of
from tests.sources.chats import a_chat, assistant_calls, message_of, result
from tests.sources.line_files import a_file
from tests.sources.test_round_trip import events_of, talks
from tests.sources.trajectory_writers import WRITERS
from tests.sources.transcript_samples import SAMPLES
from tests.sources.transcript_writers import Turn
from tests.support.examples import examples

STEP = {
    "step_id", "timestamp", "source", "message", "model_name", "reasoning_content",
    "tool_calls", "observation", "metrics", "extra",
}  # fmt: skip
ONLY_AGENT = {"model_name", "reasoning_content", "tool_calls", "metrics"}


def stored(event: dict[str, Any]) -> StoredEvent:
    """Return an event as a row of the lake has it."""
    meta = event["meta"]
    return StoredEvent(
        event["type"],
        datetime.fromisoformat(event["timestamp"]),
        event["agent"],
        msgspec.json.encode(event["payload"]).decode(),
        head={name: meta.get(name) for name in HEAD},
    )


def check(trajectory: Any) -> None:
    """Assert the rules of ATIF."""
    try:
        from atif import Trajectory  # type: ignore[import-not-found]
    except ImportError:
        pass
    else:
        Trajectory.model_validate(trajectory)
    assert set(trajectory) <= {
        "schema_version",
        "session_id",
        "agent",
        "steps",
        "extra",
    }
    assert {"name", "version"} == set(trajectory["agent"])
    for number, step in enumerate(trajectory["steps"], 1):
        assert step["step_id"] == number
        assert set(step) <= STEP
        assert step["source"] in ("system", "user", "agent")
        assert isinstance(step["message"], str)
        datetime.fromisoformat(step["timestamp"])
        assert step["source"] == "agent" or not ONLY_AGENT & set(step)
        ids = {call["tool_call_id"] for call in step.get("tool_calls", [])}
        for call in step.get("tool_calls", []):
            assert isinstance(call["arguments"], dict)
        for found in step.get("observation", {}).get("results", []):
            assert isinstance(found["content"], str)
            assert not ids or found["source_call_id"] in ids


def round_trip(folder: Path, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write a session, check it, and read it again."""
    session = events[0]["meta"]["session_id"]
    trajectory = msgspec.json.decode(
        msgspec.json.encode(trajectory_of(session, map(stored, events)))
    )
    check(trajectory)
    path = a_file(folder, msgspec.json.encode(trajectory), "out.json")
    return events_of(Path(path), "auto")


def asked(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return events without what the place in a file decides."""
    found = []
    for event in events:
        payload = dict(event["payload"])
        for name in (
            "call_id",
            "fields",
            *(["source"] * (event["type"] != "feedback")),
        ):
            payload.pop(name, None)
        meta = {n: event["meta"].get(n) for n in ("session_id", *HEAD)}
        found.append({**event, "payload": payload, "meta": meta, "id": ""})
    return found


@pytest.mark.parametrize("name", WRITERS)
@examples(8)
@given(talk=talks())
def test_a_session_of_any_format_comes_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, talk: list[Turn]
) -> None:
    folder = tmp_path_factory.mktemp("talk")
    events = events_of(Path(a_file(folder, WRITERS[name][0](talk))), name)
    assert asked(round_trip(folder, events)) == asked(events)


@pytest.mark.parametrize("name", SAMPLES)
def test_sessions_with_all_fields_come_back(tmp_path: Path, name: str) -> None:
    values = b"\n".join(msgspec.json.encode(value) for value in SAMPLES[name])
    events = events_of(Path(a_file(tmp_path, values)), name.partition(" ")[0])
    for session in {e["meta"]["session_id"] for e in events}:
        own = [e for e in events if e["meta"]["session_id"] == session]
        if any(e["type"] in ("message", "tool_call") for e in own):
            found, expected = (
                sorted(asked(part), key=lambda e: (e["timestamp"], e["type"]))
                for part in (round_trip(tmp_path, own), own)
            )
            assert found == expected


def test_outcomes_ratings_and_odd_values_come_back(tmp_path: Path) -> None:
    chat = a_chat(
        message_of("user", "hi"),
        assistant_calls("a", "b", arguments="no object"),
        result("a", {"rows": [1, 2.5, None]}),
        result(None, "whose"),
        message_of("assistant", "", reasoning_content="think"),
        reward=0.5,
        feedback=[{"key": "stars", "score": 4, "comment": "good"}],
        user_id="u-1",
        namespace="eu",
        task="refund",
        tags=["a"],
    )
    events = events_of(Path(a_file(tmp_path, chat)), "chat")
    assert asked(round_trip(tmp_path, events)) == asked(events)
    assert {e["type"] for e in events} == {
        "message", "tool_call", "feedback", "completion",
    }  # fmt: skip


def test_a_session_without_steps_is_no_trajectory() -> None:
    with pytest.raises(ValueError, match=r"^$"):
        trajectory_of("s", [])
