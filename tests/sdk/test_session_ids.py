"""What `Agent.session` accepts as ids, tags and namespaces."""

import enum
import uuid
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from semloop.agent.agent import Agent
from semloop.agent.identity import usable_meta
from semloop.errors import EventRefused
from semloop.settings import Settings
from tests.sdk.recorded_events import stored
from tests.sdk.sent_events import sent


class Customer(enum.Enum):
    FIRST = 7


class ObjectId:
    """An id type of a database, which only says how it is written."""

    def __str__(self) -> str:
        return "5f2b"


@pytest.fixture
def own(settings: Settings, tmp_path: Any) -> Settings:
    return settings.replace(spool=str(tmp_path / "spool"))


IDS = [
    ("s-1", "s-1"), (42, "42"), (0, "0"), (-(2**70), str(-(2**70))), (7.0, "7"),
    (7.5, "7.5"), (True, "true"), (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    (b"user:7", "user:7"), (b"\xff\x00", "ff00"), (Customer.FIRST, "7"),
    (np.int64(42), "42"), (np.float64(42.0), "42"), (Decimal("42"), "42"),
    (date(2026, 1, 1), "2026-01-01"), (ObjectId(), "5f2b"), ("a\ud83d", "a\ufffd"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "text"), IDS, ids=[repr(text) for _, text in IDS])
def test_a_scalar_is_an_id(own: Settings, given: object, text: str) -> None:
    agent = Agent("tester", settings=own, strict=True)
    session = agent.session(given, user_id=given, trace_id=given, namespace=given)
    assert session.id == text
    rating = {"name": "ok", "source": "human", "event_id": given}
    ids = ("session_id", "user_id", "trace_id", "namespace")
    event = stored("feedback", rating, **dict.fromkeys(ids, given))
    assert {event["meta"][name] for name in ids} == {text}
    assert event["payload"]["event_id"] == text


def test_events_tell_with_what_the_agent_worked(own: Settings) -> None:
    agent = Agent("tester", version="1.4.0", settings=own, strict=True)
    s = agent.session(1, prompt_id="p", prompt_version=7, run_id=uuid.UUID(int=1))
    s.message("user", "x", cached_tokens=3, reasoning_tokens=4)
    assert agent.flush()
    (event,) = sent(own)
    found = {name: event["meta"][name] for name in ("agent_version", "prompt_version")}
    assert found == {"agent_version": "1.4.0", "prompt_version": "7"}
    assert event["meta"]["prompt_id"] == "p"
    assert event["meta"]["run_id"] == str(uuid.UUID(int=1))
    assert event["payload"]["cached_tokens"] == 3
    assert event["payload"]["reasoning_tokens"] == 4


def test_events_of_numbered_sessions_and_users_are_sent(own: Settings) -> None:
    agent = Agent("tester", settings=own, strict=True)
    with agent.session(42, user_id=7) as s:
        s.message("user", "x")
    assert agent.flush()
    (event,) = sent(own)
    assert (event["meta"]["session_id"], event["meta"]["user_id"]) == ("42", "7")


@pytest.mark.parametrize("given", [None, "", float("nan"), np.datetime64("NaT")])
def test_an_absent_id_is_a_new_one(own: Settings, given: object) -> None:
    agent = Agent("tester", settings=own, strict=True)
    first, second = (agent.session(given, user_id=given) for _ in range(2))
    assert uuid.UUID(first.id) != uuid.UUID(second.id)


@pytest.mark.parametrize(
    "given", [["s-1"], {"id": 1}, object(), ValueError("x"), print, ObjectId]
)
@pytest.mark.parametrize("name", ["session_id", "user_id", "namespace", "trace_id"])
def test_a_value_that_is_no_scalar_is_refused_when_the_session_is_made(
    own: Settings, given: object, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    arguments: dict[str, Any] = {name: given}
    with pytest.raises(EventRefused, match=rf"meta\.{name}: expected text"):
        Agent("tester", settings=own, strict=True).session(**arguments)
    session = Agent("tester", settings=own).session(**arguments)
    assert [f"meta.{name}: " in r.getMessage() for r in caplog.records] == [True]
    if name == "session_id":
        assert uuid.UUID(session.id)


def test_events_of_a_session_without_a_usable_id_are_kept(own: Settings) -> None:
    agent = Agent("tester", settings=own)
    with agent.session(["s-1"], user_id={"id": 7}) as s:
        s.message("user", "kept")
    assert agent.flush()
    assert agent.dropped == 0
    (event,) = sent(own)
    ids = {event["meta"][name] for name in ("session_id", "user_id")}
    assert len(set(map(uuid.UUID, ids))) == 2


@pytest.mark.parametrize(
    ("given", "tags"),
    [("x", ["x"]), (["a", 7, None], ["a", "7"]), ((t for t in "ab"), ["a", "b"]),
     (Customer.FIRST, ["7"]), ({"a": 1}, ["a"])],
)  # fmt: skip
def test_tags_are_texts_and_a_text_is_one_tag(given: Any, tags: list[str]) -> None:
    meta, problems = usable_meta({"session_id": "s-1", "tags": given})
    assert (meta["tags"], problems) == (tags, [])
    event = stored("message", {"role": "user", "content": ""}, **meta)
    assert event["meta"]["tags"] == tags


def test_a_session_may_have_its_own_namespace(own: Settings) -> None:
    agent = Agent("tester", namespace="all", settings=own, strict=True)
    agent.session("s-1").message("user", "x")
    agent.session("s-1", namespace=7).message("user", "x")
    assert agent.flush()
    assert [event["meta"]["namespace"] for event in sent(own)] == ["all", "7"]


def test_an_argument_that_raises_does_not_reach_the_host(own: Settings) -> None:
    class Hostile:
        def __str__(self) -> str:
            raise ValueError

        def __eq__(self, other: object) -> bool:
            raise ValueError

        __hash__ = object.__hash__
        __bool__ = __iter__ = __float__ = __repr__ = __str__

    hostile: Any = Hostile()
    agent = Agent(hostile, namespace=hostile, settings=own)
    assert agent.name == "unnamed"
    with agent.session(hostile, user_id=hostile, tags=hostile, task=hostile) as s:
        s.message("user", hostile, model=hostile, input_tokens=hostile)
        s.tool_call(hostile, hostile, hostile, duration_ms=hostile, call_id=hostile)
        s.state_change(hostile, hostile, hostile)
        s.error(hostile, hostile, recoverable=hostile)
        s.feedback(hostile, hostile, label=hostile, event_id=hostile)
    assert agent.flush()
    assert agent.dropped == 0
    assert len(sent(own)) == 5
    s.message(hostile, "x")
    s.complete(hostile)
    agent.emit(hostile, {}, {})
    assert agent.dropped == 3
