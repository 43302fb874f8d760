"""`Agent` as an author uses it, with the broker of the test run."""

import asyncio
import threading
from typing import Any

import pytest

from semloop.agent.agent import Agent
from semloop.agent.session import Session
from semloop.errors import EventRefused, SemLoopError
from semloop.settings import Settings
from tests.sdk.sent_events import sent


@pytest.fixture
def own(settings: Settings, tmp_path: Any) -> Settings:
    """Settings with a separate spool per test."""
    return settings.replace(spool=str(tmp_path / "spool"))


def test_a_session_sends_its_events_in_order(own: Settings) -> None:
    agent = Agent("tester", settings=own, strict=True)
    with agent.session(task="find", user_id="u-1", tags=["a", "b"]) as s:
        s.message("user", "to Oslo\nplease", input_tokens=3)
        with s.tool("search", {"to": "OSL", "at": {1}}) as call:
            call.result = ["one", "two"]
        s.state_change("booking", reason="found")
        s.feedback("helpful", 0.5)
        s.complete("success", reward=1.0)
    assert agent.flush()
    events = sent(own)
    kinds = ["message", "tool_call", "state_change", "feedback", "completion"]
    assert [event["type"] for event in events] == kinds
    assert {event["meta"]["session_id"] for event in events} == {s.id}
    assert events[0]["meta"] == {
        "session_id": s.id, "namespace": "default", "task": "find",
        "user_id": "u-1", "tags": ["a", "b"],
    }  # fmt: skip
    tool = events[1]["payload"]
    assert tool.pop("duration_ms") >= 0
    assert tool == {
        "tool": "search", "status": "success", "arguments": {"to": "OSL", "at": [1]},
        "result": ["one", "two"],
    }  # fmt: skip


def test_exceptions_in_tools_and_sessions_are_recorded_and_propagate(
    own: Settings,
) -> None:
    agent = Agent("tester", settings=own, strict=True)

    args = ["no flight"]

    def work(s: Session) -> None:
        with pytest.raises(KeyError), s.tool("lookup", {"id": 7}):
            raise KeyError(7)
        raise ValueError(*args)

    with pytest.raises(ValueError, match="no flight"), agent.session() as s:
        work(s)
    assert agent.flush()
    tool, error, completion = (event["payload"] for event in sent(own))
    assert (tool["status"], tool["error_type"]) == ("error", "KeyError")
    assert (error["error_type"], error["message"]) == ("ValueError", "no flight")
    assert "raise ValueError(*args)" in error["stack"]
    assert completion == {"outcome": "failure"}


def test_the_tool_decorator_records_functions_and_coroutines(own: Settings) -> None:
    agent = Agent("tester", settings=own, strict=True)

    async def main() -> None:
        async with agent.session() as s:

            @s.tool
            def search(to: str, limit: int = 5) -> str:
                """Look for flights."""
                return f"{limit} to {to}"

            @s.tool("book")
            async def reserve(flight: str) -> dict[str, str]:
                await asyncio.sleep(0)
                return {"flight": flight}

            assert (search("OSL", limit=2), search.__doc__) == (
                "2 to OSL",
                "Look for flights.",
            )
            assert await reserve("SK1") == {"flight": "SK1"}

    asyncio.run(main())
    assert agent.flush()
    search, book = (event["payload"] for event in sent(own))
    assert (search["tool"], search["arguments"]) == (
        "search",
        {"to": "OSL", "limit": 2},
    )
    assert (book["tool"], book["result"]) == ("book", {"flight": "SK1"})


def test_threads_can_share_an_agent(own: Settings) -> None:
    agent = Agent("tester", settings=own, strict=True)

    def work(number: int) -> None:
        with agent.session(f"s-{number}") as s:
            for step in range(50):
                s.state_change(str(step))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert agent.flush()
    events = sent(own)
    for number in range(8):
        steps = [
            int(event["payload"]["to_state"])
            for event in events
            if event["meta"]["session_id"] == f"s-{number}"
        ]
        assert steps == list(range(50))


def test_an_event_without_a_form_raises_only_in_strict_mode_and_is_logged_once(
    own: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def call(agent: Agent) -> None:
        agent.session().message("robot", "x")  # type: ignore[arg-type]

    with pytest.raises(EventRefused) as refused:
        call(Agent("tester", settings=own, strict=True))
    message = 'payload.role: "robot" is not one of user, '
    assert message in refused.value.what
    assert isinstance(refused.value, SemLoopError)
    agent = Agent("tester", settings=own)
    for _ in range(3):
        call(agent)
    assert agent.dropped == 3
    assert [message in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize(
    "arguments",
    [{"session_id": "s" * 501}, {"user_id": "u" * 501}, {"tags": ["t"] * 101}],
    ids=lambda arguments: next(iter(arguments)),
)
def test_a_session_reports_a_too_long_argument_before_its_first_event(
    own: Settings, arguments: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    (name,) = arguments
    with pytest.raises(EventRefused, match=rf"meta\.{name}: expected .* at most"):
        Agent("tester", settings=own, strict=True).session(**arguments)
    agent = Agent("tester", settings=own)
    agent.session(**arguments)
    assert [f"meta.{name}: " in r.getMessage() for r in caplog.records] == [True]
    assert agent.dropped == 0


def test_an_invalid_optional_field_is_left_out_and_logged_once(
    own: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def call(agent: Agent) -> None:
        agent.session().tool_call("t", duration_ms="soon")  # type: ignore[arg-type]

    message = "payload.duration_ms: expected a number"
    with pytest.raises(EventRefused, match=message):
        call(Agent("tester", settings=own, strict=True))
    agent = Agent("tester", settings=own)
    for _ in range(3):
        call(agent)
    assert agent.dropped == 0
    assert [message in record.getMessage() for record in caplog.records] == [True]
    assert agent.flush()
    left_out = {"semloop_notes": ["duration_ms: left out: invalid"]}
    payload = {"tool": "t", "status": "success"}
    assert [event["payload"] for event in sent(own)] == [payload | left_out] * 3


def test_negative_tokens_and_credits_are_left_out(own: Settings) -> None:
    agent = Agent("tester", settings=own)
    agent.session().message(
        "user", "hello", input_tokens=-1, output_tokens=2, credits_used=-0.5
    )
    assert agent.flush()
    (event,) = sent(own)
    assert "credits_used" not in event["meta"]
    assert "input_tokens" not in event["payload"]
    assert event["payload"]["output_tokens"] == 2


def test_events_of_an_agent_with_a_too_long_name_are_kept(
    own: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["n" * 300 + end for end in ("1", "2")]
    with pytest.raises(EventRefused, match="agent: expected text of at most 200"):
        Agent(names[0], settings=own, strict=True)
    for name in names:
        agent = Agent(name, settings=own)
        agent.session().message("user", "x")
        assert agent.flush()
    assert len(caplog.records) == len(names)
    stored = {event["agent"] for event in sent(own)}
    assert len(stored) == len(names)
    assert {len(name) for name in stored} == {200}
