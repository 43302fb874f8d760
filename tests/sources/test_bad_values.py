"""A value that is broken or of another kind, first or not, costs no other value."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.lines import Record
from sources.transcripts import message_lines
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.reader import Reading
from tests.sources.line_files import a_file
from tests.sources.trajectory_writers import WRITERS
from tests.sources.transcript_writers import START, Call, Turn

TALK = [
    Turn("one", (Call("find", {"q": 1}, "found", False),), "two", (3, 4)),
    Turn("three", (), "four", (5, 6)),
]
DEEP = b"[" * 3_000 + b"]" * 3_000
BROKEN = {
    "surrogate": rb'{"role":"user","content":"\ud800"}',
    "NaN": b'{"role":"user","content":"x","score":NaN}',
    "cut": b'{"role":"user","content":"x',
    "cut at a comma": b'{"role":"user",',
    "cut list": b'[{"role":"user",',
    "cut call": b'{"messages":[{"role":"user","content":[',
    "no UTF-8": b'{"role":"user","content":"\xff"}',
    "control": b'{"role":"user","content":"a\x01"}',
    "deep": b'{"role":"user","content":' + DEEP + b"}",
    "text": b"# a line of a log",
}
OTHER = {
    "null": b"null",
    "number": b"17",
    "string": b'"a, {b"',
    "object": b"{}",
    "list": b"[]",
}
CUT = [name for name in BROKEN if name.startswith("cut")]


def values_of(name: str) -> list[bytes]:
    """Write a talk as values: messages that stand alone if the format has them."""
    if name in LINES:
        return [msgspec.json.encode(value) for value in LINES[name]]
    values = WRITERS[name][0](TALK).split(b"\n")
    # A file of one array has its elements as values.
    return values * 2 if len(values) == 1 else values


def _items() -> list[Any]:
    items: list[Any] = msgspec.json.decode(WRITERS["responses"][0](TALK))["items"]
    return items


LINES: dict[str, list[Any]] = {
    "chat lines": msgspec.json.decode(WRITERS["chat"][0](TALK))["messages"],
    "langchain lines": msgspec.json.decode(WRITERS["langchain"][0](TALK)),
    "ai-sdk lines": msgspec.json.decode(WRITERS["ai-sdk"][0](TALK)),
    "openhands lines": msgspec.json.decode(WRITERS["openhands"][0](TALK)),
    "responses lines": _items(),
}
ALL = [*WRITERS, *LINES]


def read(path: str) -> tuple[list[bytes], Ledger]:
    """Return the events of a file, in order, and its ledger."""
    ledger = Ledger()
    reading = Reading(path, "auto", Options(file_time=START), ledger)
    found = [r for r in reading.records() if isinstance(r, Record)]
    return [r.value for r in found if r.is_event], ledger


def layouts(values: list[bytes]) -> dict[str, bytes]:
    """Write values as lines and as arrays."""
    return {
        "lines": b"\n".join(values),
        "array": b"[" + b",".join(values) + b"]",
        "wide array": b"[\n  " + b",\n  ".join(values) + b"\n]\n",
    }


@pytest.mark.parametrize("bad", BROKEN)
@pytest.mark.parametrize("name", ALL)
def test_a_broken_value_becomes_one_dead_letter(
    tmp_path: Path, name: str, bad: str
) -> None:
    good = values_of(name)
    for layout, content in layouts(good).items():
        expected, _ = read(a_file(tmp_path, content))
        for at in {0, len(good) // 2, len(good)}:
            if layout != "lines" and bad in CUT:
                continue  # Its brackets have no end, so the array has none.
            given = [*good[:at], BROKEN[bad], *good[at:]]
            found, ledger = read(a_file(tmp_path, layouts(given)[layout]))
            assert found == expected
            assert ledger.unreadable == 1


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize("name", ALL)
def test_a_value_of_another_kind_costs_no_other(
    tmp_path: Path, name: str, other: str
) -> None:
    good = values_of(name)
    for layout, content in layouts(good).items():
        expected, ledger = read(a_file(tmp_path, content))
        units = ledger.met
        for at in (0, len(good)):
            given = [*good[:at], OTHER[other], *good[at:]]
            found, ledger = read(a_file(tmp_path, layouts(given)[layout]))
            assert ledger.met > units
            # Some of these are a message in a file of messages.
            assert set(found) >= set(expected)


def test_most_values_tell_the_format(tmp_path: Path) -> None:
    stray = b'{"role":"user","content":"stray"}'
    for name in WRITERS:
        good = values_of(name)
        path = a_file(tmp_path, b"\n".join([stray, *good, *good]))
        reading = Reading(path, "auto", Options(), Ledger())
        for _ in reading.records():
            pass
        expected = Reading(a_file(tmp_path, good[0]), "auto", Options(), Ledger())
        for _ in expected.records():
            pass
        assert reading.title == expected.title


@pytest.mark.parametrize("name", LINES)
def test_a_file_of_messages_of_any_size_gives_the_same_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    values = [*values_of(name), b'{"role":"user","content":"x","n":NaN}']
    path = a_file(tmp_path, b"\n".join(values))
    held, _ = read(path)
    monkeypatch.setattr(message_lines, "HELD_BYTES_MAX", 100)
    streamed, ledger = read(path)
    ids = [msgspec.json.decode(value)["id"] for value in held]
    assert [msgspec.json.decode(value)["id"] for value in streamed] == ids
    assert ledger.notes[message_lines.TOO_LARGE] == 1
    assert ledger.unreadable == 1


def test_a_hostile_message_of_a_chat_of_lines_is_refused_alone(tmp_path: Path) -> None:
    deep = b'{"role":"tool","content":{"a":' + b"[" * 900 + b"]" * 900 + b"}}"
    for at in (0, 3, 6):
        values = values_of("chat lines")
        values.insert(at, deep)
        found, _ = read(a_file(tmp_path, b"\n".join(values)))
        contents = [msgspec.json.decode(v)["payload"].get("content") for v in found]
        assert [c for c in contents if c in ("one", "two", "three", "four")] == [
            "one", "two", "three", "four",
        ]  # fmt: skip


def test_chats_and_messages_in_one_file_are_all_read(tmp_path: Path) -> None:
    values = [*values_of("chat lines"), *values_of("chat")]
    for given in (values, values[::-1]):
        found, ledger = read(a_file(tmp_path, b"\n".join(given)))
        sessions = {msgspec.json.decode(v)["meta"]["session_id"] for v in found}
        assert len(sessions) == 2
        assert ledger.left == 0
