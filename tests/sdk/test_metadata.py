"""Values of an application's own: stored, and never in the way of an event's fields."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from operators.decoding.decode import decode
from semloop.agent.events import encode
from semloop.agent.ids import new_id
from tests.sdk.recorded_events import BYTES_MAX, Recorded, stored_with
from tests.support.builders import NOW, a_poll

HELLO = {"role": "user", "content": "hi"}
METHODS: Mapping[str, Any] = {
    "message": lambda s, m: s.message("user", "hi", metadata=m),
    "tool_call": lambda s, m: s.tool_call("t", metadata=m),
    "state_change": lambda s, m: s.state_change("on", metadata=m),
    "error": lambda s, m: s.error("E", "x", metadata=m),
    "feedback": lambda s, m: s.feedback("f", metadata=m),
    "completion": lambda s, m: s.complete(metadata=m),
}


@pytest.mark.parametrize("kind", METHODS)
def test_every_event_has_the_metadata_of_its_session_and_its_own(kind: str) -> None:
    recorded = Recorded({"customer": 7, "plan": "free"})
    METHODS[kind](recorded.session, None)
    METHODS[kind](
        recorded.session, {"plan": "paid", "at": datetime(2026, 1, 31, tzinfo=UTC)}
    )
    assert recorded.metadata == [
        {"customer": 7, "plan": "free"},
        {"customer": 7, "plan": "paid", "at": "2026-01-31T00:00:00Z"},
    ]


def test_without_metadata_an_event_has_no_extra() -> None:
    recorded = Recorded()
    recorded.session.message("user", "hi")
    recorded.session.message("user", "hi", metadata={})
    assert recorded.metadata == [None, None]


def test_the_archive_stores_metadata_in_the_column_extra() -> None:
    payload = {"role": "user", "content": "hi"}
    meta = {"session_id": "s"}
    event = encode(
        "message", new_id(), "tester", NOW, payload, meta, BYTES_MAX, None, {"a": 1}
    )
    decoded = decode(a_poll(event), NOW, BYTES_MAX)
    assert decoded.events["extra"].to_pylist() == ['{"metadata":{"a":1}}']


def test_names_of_an_events_own_fields_are_names_like_any_other() -> None:
    names = (
        "id",
        "type",
        "timestamp",
        "agent",
        "payload",
        "meta",
        "session_id",
        "extra",
    )
    metadata = dict.fromkeys(names, "mine")
    event = stored_with(metadata, "message", HELLO, BYTES_MAX)
    assert event["metadata"] == metadata
    assert (event["type"], event["agent"]) == ("message", "tester")


class Hostile(Mapping[str, object]):
    """A mapping that cannot be read."""

    def __getitem__(self, key: str) -> object:
        raise ValueError

    def __iter__(self) -> Iterator[str]:
        raise ValueError

    def __len__(self) -> int:
        raise ValueError

    __repr__ = __len__  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        ([1, 2], {"value": [1, 2]}),
        ("text", {"value": "text"}),
        ({7: "a", None: float("nan")}, {"7": "a", "null": None}),
        ({"half": "\ud83d"}, {"half": "\ufffd"}),
    ],
)
def test_metadata_of_any_kind_is_stored(metadata: Any, kept: object) -> None:
    recorded = Recorded(metadata)
    recorded.session.message("user", "hi")
    other = Recorded()
    other.session.message("user", "hi", metadata=metadata)
    assert recorded.metadata == other.metadata == [kept]


def test_metadata_that_cannot_be_read_does_not_cost_the_event() -> None:
    recorded = Recorded(Hostile())
    recorded.session.message("user", "hi", metadata=Hostile())
    assert len(recorded.metadata) == 1


def test_metadata_is_copied_when_the_session_is_made() -> None:
    metadata = {"n": [1]}
    recorded = Recorded(metadata)
    metadata["n"].append(2)
    recorded.session.message("user", "hi")
    assert recorded.metadata == [{"n": [1]}]


def test_large_metadata_is_shortened_with_its_event() -> None:
    metadata = {"a": "x" * BYTES_MAX, "b": list(range(10))}
    event = stored_with(metadata, "message", HELLO, BYTES_MAX)
    assert event["metadata"]["b"] == list(range(10))
    assert len(event["metadata"]["a"]) < BYTES_MAX
    assert any("metadata.a" in note for note in event["payload"]["semloop_notes"])
