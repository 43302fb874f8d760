"""Memories of long events: whole payloads, in parts, within bounds."""

import random
from typing import Any

import pytest

from operators.memories.splitter import token_count
from tests.operators.event_rows import Row, event_row
from tests.operators.memory_texts import memories

FILL = "The committee reviewed the minutes and found nothing unusual. "


def a_call(**payload: object) -> Row:
    call: Row = {"tool": "run", "status": "success", **payload}
    return event_row("tool_call", payload=call, text="as archive shortened it")


def texts_of(*events: Row, **settings: Any) -> list[str]:
    return [row["text"] for row in memories(*events, **settings)]


def test_a_long_payload_is_remembered_to_its_end() -> None:
    filling = "".join(f"{n}. {FILL}" for n in range(1_600))
    result = f"{filling}FAILED test_quokka: checksum mismatch in shard 17"
    parts = texts_of(a_call(arguments={"path": "tests"}, result=result))
    assert parts[0].startswith('run success {"path": "tests"} -> 0. The committee')
    assert " ".join(parts).endswith("mismatch in shard 17")
    assert " ".join(parts).count("committee") == 1_600
    assert all(token_count(part) <= 240 for part in parts)


def test_a_result_behind_long_arguments_is_remembered() -> None:
    code = "def f():\n    return 1\n" * 300
    parts = texts_of(a_call(arguments={"content": code}, result="the narwhal is full"))
    assert parts[-1].endswith("the narwhal is full")
    assert "def f(): return 1 def f()" in parts[0]


def test_of_too_long_an_event_both_ends_and_errors_are_remembered() -> None:
    filling = "".join(f"{n}. {FILL}" for n in range(400))
    content = f"first {filling} KeyError: quokka {filling[::-1]} last"
    event = event_row(payload={"role": "user", "content": content})
    text = " ".join(texts_of(event, memory_event_chars=5_000))
    assert len(text) <= 5_000
    assert [len(texts_of(event, memory_event_parts=n)) for n in (2, 3)] == [2, 3]
    parts = texts_of(event, memory_event_parts=9)
    assert len(parts) == 9
    for found in (text, " ".join(parts)):
        assert found.startswith("first ")
        assert "KeyError: quokka" in found
        assert found.endswith(" last")


def test_equal_parts_of_an_event_are_one_memory() -> None:
    content = f"{FILL * 900} quokka"
    parts = texts_of(event_row(payload={"role": "user", "content": content}))
    assert len(parts) == len(set(parts)) < 5
    assert parts[-1].endswith("quokka")


def test_parts_without_words_are_no_memories() -> None:
    content = f"before {'- ' * 4_000} after {'. ' * 4_000}"
    parts = texts_of(event_row(payload={"role": "user", "content": content}))
    assert [part.strip("-. ") for part in parts] == ["before", "after"]


def test_data_is_no_memory() -> None:
    image = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUg" * 3_000
    parts = texts_of(a_call(result={"type": "image", "data": image}))
    assert parts == ['run success -> {"type": "image", "data": "[image/png, 50 kB]"}']


def test_the_stack_of_an_error_is_remembered_behind_its_message() -> None:
    stack = "Traceback:\n  File a.py\nKeyError: quokka\n"
    payload = {"error_type": "KeyError", "message": "no\nkey", "stack": stack}
    assert texts_of(event_row("error", payload=payload)) == [
        "KeyError: no key",
        "Traceback: File a.py KeyError: quokka",
    ]


def test_a_text_without_spaces_is_split_too() -> None:
    content = "".join(random.Random(1).choices("กขคงจชดตทนบปพมยรลวสห", k=9_000))
    parts = texts_of(event_row(payload={"role": "user", "content": content}))
    assert "".join(parts) == content
    assert max(map(len, parts)) <= 2_000
    assert all(token_count(part) <= 240 for part in parts)


@pytest.mark.parametrize("payload", [None, "no JSON", '{"role": "user"}'])
def test_an_event_without_a_valid_payload_has_its_text(payload: str | None) -> None:
    event = event_row(text="hello")
    padding = " " * 5_000
    event["payload"] = payload and payload + padding
    assert texts_of(event) == ["hello"]
