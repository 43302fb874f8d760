"""What can be set in a call, and that nothing else can."""

from typing import Any

import pytest

from semloop.agent.agent import Agent
from semloop.agent.call import Call
from semloop.settings import Settings
from tests.sdk.recorded_events import Recorded


def test_every_attribute_of_a_call_is_recorded() -> None:
    recorded = Recorded()
    with recorded.session.tool("search", {"to": "OSL"}) as call:
        call.arguments = {"to": "BGO"}
        call.result = ["WF 123"]
        call.status = "error"
        call.error_type = "Stale"
        call.call_id = 7
        call.duration_ms = 12.5
        call.credits_used = 0.25
        call.metadata = {"cache": "hit"}
    [event] = recorded.events
    assert event["payload"] == {
        "tool": "search", "status": "error", "arguments": {"to": "BGO"},
        "result": ["WF 123"], "error_type": "Stale", "call_id": "7",
        "duration_ms": 12.5,
    }  # fmt: skip
    assert event["meta"]["credits_used"] == 0.25
    assert event["metadata"] == {"cache": "hit"}


def test_a_call_with_a_type_of_error_has_failed_unless_it_says_otherwise() -> None:
    recorded = Recorded()
    with recorded.session.tool("t") as call:
        call.error_type = "Timeout"
    with recorded.session.tool("t") as call:
        call.error_type, call.status = "Retried", "success"
    assert [p["status"] for p in recorded.payloads] == ["error", "success"]


def test_an_exception_makes_a_call_an_error_with_the_given_type_and_result() -> None:
    recorded = Recorded()

    def fail(call: Call) -> None:
        call.status, call.error_type, call.result = "success", "NoFlight", "partial"
        raise KeyError

    with pytest.raises(KeyError), recorded.session.tool("t") as call:
        fail(call)
    payload = recorded.call()
    assert payload == {
        "tool": "t", "status": "error", "error_type": "NoFlight", "result": "partial",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["results", "output", "name", "span_id", "_x"])
def test_any_other_attribute_raises(settings: Settings, name: str) -> None:
    agent = Agent("tester", settings=settings)
    things: list[Any] = [agent, agent.session(), agent.tool("t"), agent.stats()]
    for thing in things:
        if name in {"name", "span_id"} and not hasattr(thing, name):
            continue
        with pytest.raises(AttributeError):
            setattr(thing, name, 1)


def test_an_identity_cannot_be_replaced(settings: Settings) -> None:
    agent: Any = Agent("tester", settings=settings, namespace="n")
    assert (agent.name, agent.namespace) == ("tester", "n")
    for name in ("name", "namespace", "dropped"):
        with pytest.raises(AttributeError):
            setattr(agent, name, "other")
    session: Any = agent.session("s-1")
    with pytest.raises(AttributeError):
        session.id = "other"
