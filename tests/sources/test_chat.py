"""Transcripts become sessions: calls are paired with results, in order of time."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from semloop.event import Completion, Message, ToolCall
from tests.sources.chats import (
    a_chat,
    assistant_calls,
    chat_events,
    decoded,
    message_of,
    outcomes,
    payloads,
    result,
    tool_calls,
)


def test_chat_becomes_one_session_in_order_of_time() -> None:
    line = a_chat(
        message_of("system"),
        message_of("user", "hi"),
        assistant_calls("a"),
        result("a"),
        reward=1,
    )
    events = decoded(line)
    assert [e.type for e, _ in events] == [
        "message", "message", "tool_call", "completion",
    ]  # fmt: skip
    assert {(e.agent, e.meta.session_id) for e, _ in events} == {("helpdesk", "chat-1")}
    assert events[0][0].meta.namespace == "default"
    start = events[0][0].timestamp
    assert start.isoformat() == "2026-01-02T01:04:05+00:00"
    assert [e.timestamp - start for e, _ in events] == [
        timedelta(seconds=i) for i in range(4)
    ]


def test_a_message_with_content_and_calls_produces_both() -> None:
    first, second = payloads(
        a_chat(assistant_calls("a", content="one moment"), result("a"))
    )
    assert first == Message(role="assistant", content="one moment")
    assert isinstance(second, ToolCall)
    assert (second.tool, second.call_id) == ("find", "a")


@pytest.mark.parametrize("content", [None, "", []], ids=["null", "empty", "no parts"])
def test_a_message_without_text_produces_no_event(content: object) -> None:
    assert payloads(a_chat(message_of("assistant", content), {"role": "user"})) == []


def test_text_parts_are_joined_and_others_are_kept_in_the_payload() -> None:
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "text", "text": "here"},
    ]
    line = a_chat(message_of("user", parts), assistant_calls("a"), result("a", parts))
    message, call = payloads(line)
    assert message == Message(role="user", content="look\nhere")
    assert isinstance(call, ToolCall)
    label = "[image_url: https://example.com/a.png]"
    assert msgspec.json.decode(call.result) == f"look\n{label}\nhere"
    assert b'"parts":[{"type":"image_url"' in chat_events(line)[1][0].value


def test_a_call_is_paired_with_the_next_unmatched_result_of_its_id() -> None:
    line = a_chat(
        result("a", "too early"),
        assistant_calls("a", "b"),
        result("b", "for b"),
        result("a", "for first a"),
        assistant_calls("a", "a"),
        result("a", "for second a"),
        result("a", "for third a"),
        result("a", "no such call"),
    )
    answers = [bytes(c.result).decode().strip('"') for c in tool_calls(line)]
    assert answers == ["for first a", "for b", "for second a", "for third a"]
    left = [p.content for p in payloads(line) if isinstance(p, Message)]
    assert left == ["too early", "no such call"]
    assert {p.role for p in payloads(line) if isinstance(p, Message)} == {"tool"}


def test_result_without_call_id_is_a_message() -> None:
    line = a_chat(assistant_calls("a"), result(None))
    assert payloads(line)[1] == Message(role="tool", content="found")
    assert outcomes(line) == [("error", "no_result", b"")]


def test_result_that_starts_with_error_is_an_error() -> None:
    line = a_chat(
        assistant_calls("a", "b", "c", "d"),
        result("a", "Error: no such user"),
        result("b", "no Error here"),
        result("c", None),
    )
    assert outcomes(line) == [
        ("error", "tool_error", b'"Error: no such user"'),
        ("success", None, b'"no Error here"'),
        ("success", None, b'""'),
        ("error", "no_result", b""),
    ]


@pytest.mark.parametrize(
    ("arguments", "stored"),
    [
        pytest.param('{"a": 1.50,\n "b": [1]}', b'{"a":1.50,"b":[1]}', id="object"),
        pytest.param({"a": 1}, b'{"a":1}', id="object that is not text"),
        pytest.param("[1]", b'"[1]"', id="array"),
        pytest.param('{"a": ', b'"{\\"a\\": "', id="cut off"),
        pytest.param('{"a": NaN}', b'"{\\"a\\": NaN}"', id="not a number"),
        pytest.param("", b'""', id="empty"),
        pytest.param(None, b"", id="null"),
    ],
)
def test_arguments_are_embedded_if_they_are_an_object(
    arguments: object, stored: bytes
) -> None:
    (call,) = tool_calls(a_chat(assistant_calls("a", arguments=arguments)))
    assert bytes(call.arguments) == stored


def test_deep_arguments_stay_text() -> None:
    deep = '{"a":' * 5000 + "1" + "}" * 5000
    (call,) = tool_calls(a_chat(assistant_calls("a", arguments=deep)))
    assert msgspec.json.decode(call.arguments) == deep


@pytest.mark.parametrize(
    ("reward", "outcome"),
    [
        (1, "success"),
        (2.5, "success"),
        (0.3, "partial"),
        (0, "failure"),
        (-1, "failure"),
    ],
)
def test_a_reward_produces_a_completion(reward: float, outcome: Any) -> None:
    (last,) = payloads(a_chat(reward=reward))
    assert last == Completion(outcome=outcome, reward=reward)


@pytest.mark.parametrize("fields", [{}, {"reward": None}], ids=["absent", "null"])
def test_without_a_reward_there_is_no_completion(fields: dict[str, object]) -> None:
    assert payloads(a_chat(**fields)) == []


def test_fields_of_the_chat_reach_every_event() -> None:
    line = a_chat(
        message_of("user"),
        reward=1,
        namespace="eu",
        user_id="u1",
        task="refund",
        tags=["a"],
    )
    for event, _ in decoded(line):
        assert event.meta.namespace == "eu"
        assert (event.meta.user_id, event.meta.task) == ("u1", "refund")
        assert event.meta.tags == ["a"]


def test_optional_fields_of_wrong_type_are_left_out() -> None:
    line = a_chat(
        message_of("user"), user_id=7, task={"a": 1}, tags=["a", 1], other=[1]
    )
    ((event, _),) = decoded(line)
    assert (event.meta.user_id, event.meta.task, event.meta.tags) == (None, None, None)


def test_a_long_chat_spans_less_than_five_minutes() -> None:
    events = decoded(a_chat(*(message_of("user", str(n)) for n in range(1_000))))
    times = [envelope.timestamp for envelope, _ in events]
    assert all(earlier < later for earlier, later in pairwise(times))
    assert times[-1] - times[0] < timedelta(minutes=5)
