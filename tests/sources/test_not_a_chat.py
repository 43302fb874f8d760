"""Lines that are no valid transcript."""

import pytest

from sources.transcripts.openai_chat import chat_events
from tests.sources.chats import a_chat, assistant_calls, message_of


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
