"""Transcripts become sessions: calls are paired with results, and ids are stable."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.event import (
    Completion,
    Envelope,
    Message,
    Payload,
    ToolCall,
    decode_payload,
    decode_strict,
)
from sources.transcripts.openai_chat import chat_events

Decoded = list[tuple[Envelope, Payload]]


def message_of(
    role: str, content: object = "hello", **rest: object
) -> dict[str, object]:
    return {"role": role, "content": content, **rest}


def assistant_calls(
    *ids: str, content: str | None = None, arguments: object = "{}"
) -> Any:
    function = {"name": "find", "arguments": arguments}
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [
            {"id": i, "type": "function", "function": function} for i in ids
        ],
    }


def result(call_id: str | None, content: object = "found") -> dict[str, object]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def a_chat(*messages: object, **fields: object) -> bytes:
    chat = {
        "id": "chat-1",
        "agent": "helpdesk",
        "created_at": "2026-01-02T03:04:05+02:00",
        "messages": messages,
    }
    return msgspec.json.encode(chat | fields)


def ids_of(line: bytes) -> list[str]:
    found = chat_events(line)
    assert found is not None
    return [event.id for event in found[1]]


def decoded(line: bytes) -> Decoded:
    found = chat_events(line)
    assert found is not None
    events = []
    for event in found[1]:
        envelope = decode_strict(event.value)
        assert envelope.id == event.id
        assert envelope.meta.session_id == found[0]
        events.append((envelope, decode_payload[envelope.type](envelope.payload)))
    return events


def payloads(line: bytes) -> list[Payload]:
    return [payload for _, payload in decoded(line)]


def tool_calls(line: bytes) -> list[ToolCall]:
    return [p for p in payloads(line) if isinstance(p, ToolCall)]


def outcomes(line: bytes) -> list[tuple[str, str | None, bytes]]:
    return [(c.status, c.error_type, bytes(c.result)) for c in tool_calls(line)]


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


def test_text_parts_are_joined_and_others_left_out() -> None:
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "text", "text": "here"},
    ]
    line = a_chat(message_of("user", parts), assistant_calls("a"), result("a", parts))
    message, call = payloads(line)
    assert message == Message(role="user", content="look\nhere")
    assert isinstance(call, ToolCall)
    assert bytes(call.result) == b'"look\\nhere"'


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


def test_the_same_chat_produces_the_same_bytes() -> None:
    line = a_chat(message_of("user"), assistant_calls("a"), result("a"), reward=0.5)
    assert chat_events(line) == chat_events(line)


def test_a_chat_that_grew_adds_only_new_events() -> None:
    start = (message_of("user", "hi"), assistant_calls("a"), result("a"))
    short = ids_of(a_chat(*start, reward=1))
    more = ids_of(
        a_chat(
            *start,
            message_of("user", "hi"),
            assistant_calls("a"),
            result("a"),
            reward=1,
        )
    )
    assert set(short) < set(more)
    assert len(more) == len(short) + 2


def test_changed_content_is_a_new_event() -> None:
    before = ids_of(a_chat(message_of("user", "a"), message_of("user", "b"), reward=0))
    after = ids_of(a_chat(message_of("user", "a"), message_of("user", "c"), reward=1))
    assert [x == y for x, y in zip(before, after, strict=True)] == [True, False, False]


@pytest.mark.parametrize(
    "fields", [{"id": "chat-2"}, {"agent": "other"}, {"namespace": "eu"}], ids=str
)
def test_equal_messages_of_different_chats_have_different_ids(
    fields: dict[str, object],
) -> None:
    same = ids_of(a_chat(message_of("user")))
    assert ids_of(a_chat(message_of("user"), **fields)) != same


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="not JSON"),
        pytest.param(b"[]", id="not an object"),
        pytest.param(b'{"id":"a","agent":"b","messages":[]}', id="no created_at"),
        pytest.param(a_chat(id=1), id="id is a number"),
        pytest.param(a_chat(id=""), id="empty id"),
        pytest.param(a_chat(agent="a" * 201), id="long agent"),
        pytest.param(a_chat(created_at="2026-01-02T03:04:05"), id="no offset"),
        pytest.param(a_chat(created_at="yesterday"), id="no time"),
        pytest.param(a_chat(created_at=1767322800), id="time is a number"),
        pytest.param(
            a_chat(
                message_of("user"),
                message_of("user"),
                created_at="9999-12-31T23:59:59Z",
            ),
            id="after the last year",
        ),
        pytest.param(a_chat(created_at="0001-01-01T00:00:00+05:00"), id="before any"),
        pytest.param(a_chat(messages=None), id="no messages"),
        pytest.param(
            a_chat(message_of("user"), message_of("robot")), id="unknown role"
        ),
        pytest.param(a_chat({"content": "a"}), id="no role"),
        pytest.param(a_chat(message_of("user", 5)), id="content is a number"),
        pytest.param(a_chat(message_of("user", ["a"])), id="part is text"),
        pytest.param(
            a_chat(assistant_calls("a", arguments=5)), id="arguments are a number"
        ),
        pytest.param(
            a_chat({"role": "assistant", "tool_calls": [{}]}), id="empty call"
        ),
        pytest.param(a_chat(reward=True), id="reward is a bool"),
        pytest.param(a_chat(reward="1"), id="reward is text"),
        pytest.param(a_chat()[:-1] + b',"reward":NaN}', id="reward is NaN"),
        pytest.param(a_chat()[:-1] + b',"reward":1e999}', id="reward is infinite"),
        pytest.param(a_chat(namespace=5), id="namespace is a number"),
        pytest.param(
            a_chat(message_of("user", "X")).replace(b"X", b"\xff"), id="not UTF-8"
        ),
        pytest.param(
            a_chat(message_of("user", "X")).replace(b"X", b"\\ud800"),
            id="half a surrogate",
        ),
        pytest.param(b'{"x":' + b"[" * 9999 + b"]" * 9999 + b"}", id="too deep"),
    ],
)
def test_a_line_that_is_not_a_chat_is_rejected(line: bytes) -> None:
    assert chat_events(line) is None


some_ids = st.sampled_from(["a", "b", ""])
texts = st.text(max_size=20) | st.sampled_from(["Error: no", "Error"])
contents = st.none() | texts | st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, texts), max_size=2
)  # fmt: skip
arguments = st.none() | texts | st.sampled_from(['{"a": 1}', "[]", '{"a":'])
messages = st.lists(
    st.builds(
        message_of, st.sampled_from(["user", "system", "assistant", "tool"]), contents
    )
    | st.builds(
        lambda ids, content, args: assistant_calls(
            *ids, content=content, arguments=args
        ),
        st.lists(some_ids, max_size=3),
        st.none() | texts,
        arguments,
    )
    | st.builds(result, st.none() | some_ids, contents),
    max_size=12,
)


@given(messages, st.none() | st.floats(allow_nan=False, allow_infinity=False))
def test_invariants_hold_for_any_chat(
    chat: list[dict[str, Any]], reward: float | None
) -> None:
    line = a_chat(*chat, reward=reward)
    events = decoded(line)
    expected = sum(len(m.get("tool_calls", ())) for m in chat)
    assert sum(e.type == "tool_call" for e, _ in events) == expected
    times = [e.timestamp for e, _ in events]
    assert all(a < b for a, b in pairwise(times))
    assert len({e.id for e, _ in events}) == len(events)
    assert chat_events(line) == chat_events(line)
    # Every result is part of a call or a separate message.
    results = sum(m["role"] == "tool" for m in chat)
    answered = sum(isinstance(p, ToolCall) and bool(p.result) for _, p in events)
    separate = sum(isinstance(p, Message) and p.role == "tool" for _, p in events)
    assert answered + separate == results


@given(messages, messages)
def test_a_longer_chat_keeps_the_ids_of_the_shorter_one(
    chat: list[dict[str, Any]], later: list[dict[str, Any]]
) -> None:
    def final_ids(line: bytes) -> list[str]:
        return [
            event.id
            for event, payload in decoded(line)
            if not (isinstance(payload, ToolCall) and payload.error_type == "no_result")
        ]

    # Only a call without a result may change.
    short = final_ids(a_chat(*chat, reward=1))
    assert set(short) <= set(final_ids(a_chat(*chat, *later, reward=1)))


def test_a_long_chat_spans_less_than_five_minutes() -> None:
    events = decoded(a_chat(*(message_of("user", str(n)) for n in range(1_000))))
    times = [envelope.timestamp for envelope, _ in events]
    assert all(earlier < later for earlier, later in pairwise(times))
    assert times[-1] - times[0] < timedelta(minutes=5)
