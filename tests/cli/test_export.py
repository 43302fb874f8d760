"""`semloop export` prints sessions of the lake as trajectories."""

import msgspec

from tests.cli.helpers import Semloop, Writer
from tests.sources.chats import a_chat, assistant_calls, chat_events, message_of, result


def test_sessions_are_printed_one_a_line(semloop: Semloop) -> None:
    chats = [
        a_chat(message_of("user", "hi"), assistant_calls("a"), result("a"), id="s-1"),
        a_chat(message_of("user", "there"), id="s-2", reward=1),
        a_chat(id="s-3", reward=1),
    ]
    for chat in chats:
        Writer().write(*[event.value for event in chat_events(chat)[1]])
    one = msgspec.json.decode(semloop("export", "s-1"))
    assert one["agent"] == {"name": "helpdesk", "version": "unknown"}
    assert [step["source"] for step in one["steps"]] == ["user", "agent"]
    assert one["steps"][1]["observation"]["results"][0]["content"] == "found"
    code, out, err = semloop.run("export", "--since", "2020-01-01T00:00:00Z")
    assert code == 0
    found = [msgspec.json.decode(line) for line in out.splitlines()]
    assert sorted(one["session_id"] for one in found) == ["s-1", "s-2"]
    assert "1 session without messages and calls is left out." in err


def test_what_cannot_be_exported_is_one_line(semloop: Semloop) -> None:
    code, _, err = semloop.run("export")
    assert code == 1
    assert "Give the id of a session, or --since." in err
    Writer()
    code, _, err = semloop.run("export", "--since", "1h")
    assert code == 1
    assert "No session has a message or a call." in err
