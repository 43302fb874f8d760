"""Any transcript keeps every message, call and result, and its ids as it grows."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from semloop.event import Message, ToolCall
from tests.sources.chats import (
    a_chat,
    assistant_calls,
    chat_events,
    decoded,
    message_of,
    result,
)

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
