"""The texts of events: what matters of a long call, message or error."""

import json
from typing import Any

import pytest

from semloop.event import TEXT_CHARS_MAX, decode_payload

pytestmark = pytest.mark.unit

FILL = "The committee reviewed the minutes and found nothing unusual. "


def text_of(kind: str, payload: dict[str, Any], chars: int = TEXT_CHARS_MAX) -> str:
    event: Any = decode_payload[kind](json.dumps(payload).encode())  # type: ignore[arg-type]
    text: str = event.text(chars)
    assert len(text) <= chars
    assert event.columns()[-1] == event.text(TEXT_CHARS_MAX)
    return text


def a_call(arguments: object, result: object) -> dict[str, Any]:
    return {"tool": "run", "status": "error", "arguments": arguments, "result": result}


def test_a_short_call_is_shown_as_a_whole() -> None:
    assert (
        text_of("tool_call", a_call({"n": 1}, "done")) == 'run error {"n": 1} -> done'
    )


def test_long_arguments_do_not_crowd_out_the_result() -> None:
    text = text_of("tool_call", a_call({"content": "x = 1\n" * 9_000}, "the narwhal"))
    assert text.startswith('run error {"content": "x = 1 x = 1')
    assert text.endswith('"} -> the narwhal')


def test_a_long_result_does_not_crowd_out_the_arguments() -> None:
    text = text_of("tool_call", a_call({"path": "narwhal"}, FILL * 900 + "the end"))
    assert text.startswith('run error {"path": "narwhal"} -> The committee')
    assert text.endswith("unusual. the end")


def test_long_arguments_and_a_long_result_have_a_share_each() -> None:
    given = {"a": "first argument", "b": FILL * 900, "c": "last argument"}
    text = text_of("tool_call", a_call(given, f"start {FILL * 900} end"))
    arguments, result = text.split(" -> ")
    assert TEXT_CHARS_MAX * 0.3 < len(arguments) < len(result)
    assert "first argument" in arguments
    assert "last argument" in arguments
    assert result.startswith("start ")
    assert result.endswith(" end")


def test_data_in_long_arguments_takes_no_room() -> None:
    given = {"image": "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUg" * 900, "n": 1}
    text = text_of("tool_call", a_call(given, "done"))
    assert text == 'run error {"image": "[image/png, 15 kB]", "n": 1} -> done'


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("message", {"role": "user", "content": f"first {FILL * 900} last"}),
        ("error", {"error_type": "first", "message": f"{FILL * 900} last"}),
    ],
)
def test_a_long_message_keeps_both_ends(kind: str, payload: dict[str, Any]) -> None:
    text = text_of(kind, payload)
    assert text.startswith("first")
    assert text.endswith(" last")


def test_a_tool_with_a_long_name_does_not_crowd_out_its_result() -> None:
    call = {"tool": "x" * 200, "status": "error", "result": "some text " * 900 + "done"}
    text = text_of("tool_call", call)
    assert text.startswith("xxx")
    assert text.endswith("done")
