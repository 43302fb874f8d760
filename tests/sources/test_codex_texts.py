"""A text of a rollout is one message, whether an event, an item or both have it."""

from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.lines import Record
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.reader import Reading
from tests.sources.line_files import a_file
from tests.sources.test_grown_files import SESSION
from tests.sources.transcript_writers import START


def item(text: str, role: str = "assistant") -> dict[str, Any]:
    content = [{"type": "output_text", "text": text}]
    payload = {"type": "message", "role": role, "content": content}
    return {"type": "response_item", "payload": payload}


def event(text: str, kind: str = "agent_message") -> dict[str, Any]:
    name = "text" if kind == "agent_reasoning" else "message"
    return {"type": "event_msg", "payload": {"type": kind, name: text}}


def read(folder: Path, *lines: object) -> tuple[list[dict[str, Any]], Ledger]:
    """Import a rollout."""
    ledger = Ledger()
    content = b"\n".join(msgspec.json.encode(line) for line in (SESSION, *lines))
    found = Reading(
        a_file(folder, content), "auto", Options(file_time=START), ledger
    ).records()
    events = [msgspec.json.decode(r.value) for r in found if isinstance(r, Record)]
    return events, ledger


def texts(events: list[dict[str, Any]]) -> list[str]:
    """Return the contents of messages."""
    return [e["payload"]["content"] for e in events]


@pytest.mark.parametrize("lines", [*permutations([item("a"), event("a"), item("b")])])
def test_a_text_of_an_event_and_of_its_item_is_one_message(
    tmp_path: Path, lines: tuple[dict[str, Any], ...]
) -> None:
    events, ledger = read(tmp_path, *lines)
    assert sorted(texts(events)) == ["a", "b"]
    assert (
        ledger.left_out["agent_message line", "is reported by its response item"] == 1
    )
    without = [line for line in lines if line["type"] == "response_item"]
    assert texts(events) == texts(read(tmp_path, *without)[0])


def test_events_without_an_item_are_messages(tmp_path: Path) -> None:
    lines = [
        event("hello", "user_message"),
        event("think", "agent_reasoning"),
        item("ok"),
        event("ok"),
        event("ok"),
        event("only here"),
    ]
    events, ledger = read(tmp_path, *lines)
    assert texts(events) == ["hello", "think", "ok", "ok", "only here"]
    assert [e["payload"]["role"] for e in events] == ["user", *["assistant"] * 4]
    assert events[1]["payload"]["part"] == "reasoning"
    assert ledger.unreadable == 0


def test_a_rollout_that_grows_line_by_line_adds_no_text_twice(tmp_path: Path) -> None:
    lines = [
        event("hello", "user_message"), item("hello", "user"), event("a"), item("a"),
        item("b"), event("b"), event("only here"), event("c"), item("c"), item("a"),
    ]  # fmt: skip
    found: dict[str, str] = {}
    for end in range(1, len(lines) + 1):
        for one in read(tmp_path, *lines[:end])[0]:
            found[one["id"]] = one["payload"]["content"]
    assert sorted(found.values()) == ["a", "a", "b", "c", "hello", "only here"]


def test_ids_of_items_are_those_without_the_events(tmp_path: Path) -> None:
    lines = [item("a"), event("only here"), item("b"), event("nor this"), item("c")]
    items = [line for line in lines if line["type"] == "response_item"]
    ids = {e["id"] for e in read(tmp_path, *items)[0]}
    assert ids < {e["id"] for e in read(tmp_path, *lines)[0]}


def test_observations_of_langfuse_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    def observation(number: int) -> dict[str, Any]:
        start = f"2026-01-02T03:04:{number:02}Z"
        return {
            "id": f"o{number}", "traceId": "t", "type": "GENERATION",
            "startTime": start, "input": f"asked {number}",
        }  # fmt: skip

    trace = {
        "id": "t", "sessionId": "s", "timestamp": "2026-01-02T03:04:01Z", "scores": [],
    }  # fmt: skip
    lines = [*(observation(n) for n in (3, 1, 2)), trace]
    path = a_file(tmp_path, b"\n".join(map(msgspec.json.encode, lines)))
    found = list(Reading(path, "auto", Options(), Ledger()).records())
    events = [msgspec.json.decode(r.value) for r in found if isinstance(r, Record)]
    assert texts(events) == ["asked 1", "asked 2", "asked 3"]
    assert {e["meta"]["session_id"] for e in events} == {"s"}


def test_an_event_that_is_too_long_is_not_counted_as_one(tmp_path: Path) -> None:
    long = {"id": "1", "messages": [{"role": "user", "content": "x " * 2**21}]}
    ledger = Ledger()
    path = a_file(tmp_path, msgspec.json.encode(long))
    found = list(Reading(path, "chat", Options(), ledger).records())
    assert not any(isinstance(record, Record) for record in found)
    assert ledger.left_out == {("message", "is over 4 MiB as an event"): 1}
    assert ledger.events == 0
