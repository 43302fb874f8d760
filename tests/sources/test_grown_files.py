"""Files that a tool appends to, imported before and after they grew."""

from pathlib import Path
from typing import Any

import msgspec

from schemas.lines import Record
from sources.transcripts.ledger import Ledger
from sources.transcripts.options import Options
from sources.transcripts.reader import Reading
from tests.sources.line_files import a_file

SESSION = {"type": "session_meta", "payload": {"id": "s-1"}}
ANSWER = {
    "type": "response_item",
    "payload": {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "done"}],
    },
}
TOKENS = {
    "type": "event_msg",
    "payload": {
        "type": "token_count",
        "info": {
            "last_token_usage": {"input_tokens": 7, "output_tokens": 2},
            "total_token_usage": {"input_tokens": 7},
        },
    },
}


def events_of(folder: Path, *lines: object) -> list[dict[str, Any]]:
    """Import these lines as a file."""
    path = a_file(folder, b"\n".join(msgspec.json.encode(line) for line in lines))
    found = Reading(path, "auto", Options(), Ledger()).records()
    return [msgspec.json.decode(r.value) for r in found if isinstance(r, Record)]


def test_tokens_that_come_later_make_no_second_answer(tmp_path: Path) -> None:
    short = events_of(tmp_path, SESSION, ANSWER)
    more = events_of(tmp_path, SESSION, ANSWER, TOKENS)
    assert more[0]["payload"]["input_tokens"] == 7
    assert [e["id"] for e in short] == [e["id"] for e in more]


def run_of(start: int, contents: list[str]) -> dict[str, object]:
    """Build a run of a model; user and assistant speak in turn."""
    roles = ["user", "assistant"]
    all_ = [{"role": roles[n % 2], "content": t} for n, t in enumerate(contents)]
    return {
        "id": f"run-{start}",
        "trace_id": "t",
        "run_type": "llm",
        "start_time": f"2026-01-02T03:04:0{start}Z",
        "inputs": {"messages": all_[:-1]},
        "outputs": {
            "messages": all_[-1:],
            "usage": {"input_tokens": start, "output_tokens": 1},
        },
    }


def test_equal_messages_later_in_a_session_are_events(tmp_path: Path) -> None:
    messages = ["yes", "ok", "yes", "ok", "and?", "ok"]
    found = events_of(tmp_path, *[run_of(n, messages[:n]) for n in (2, 4, 6)])
    assert [e["payload"]["content"] for e in found] == messages


def test_another_order_of_spans_makes_the_same_ids(tmp_path: Path) -> None:
    messages = ["yes", "ok", "yes", "ok", "and?", "well"]
    runs = [run_of(n, messages[:n]) for n in (2, 4, 6)]
    assert events_of(tmp_path, *reversed(runs)) == events_of(tmp_path, *runs)
    ids = {e["id"] for e in events_of(tmp_path, *runs)}
    assert {e["id"] for e in events_of(tmp_path, *reversed(runs))} == ids
    assert {e["id"] for e in events_of(tmp_path, runs[2])} == ids
    assert {e["id"] for e in events_of(tmp_path, runs[0])} < ids


def test_equal_ratings_of_two_runs_are_two_events(tmp_path: Path) -> None:
    runs = [run_of(n, ["a", "b"]) | {"feedback": [{"key": "k"}]} for n in (2, 4)]
    found = [e["id"] for run in runs for e in events_of(tmp_path, run)]
    assert len(set(found)) == 4


def batch_of(start: int, *contents: str) -> dict[str, object]:
    """Build a line of OTLP with one span of a model."""
    texts = {
        "gen_ai.input.messages": contents[0],
        "gen_ai.output.messages": contents[1],
    }
    attributes = [{"key": k, "value": {"stringValue": v}} for k, v in texts.items()]
    span = {
        "traceId": "t",
        "spanId": f"{start}",
        "startTimeUnixNano": f"{1_767_323_045 + start}000000000",
        "attributes": attributes,
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def test_lines_of_otlp_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    batches = [batch_of(1, "a", "b"), batch_of(2, "c", "d")]
    found = events_of(tmp_path, *reversed(batches))
    assert [e["payload"]["content"] for e in found] == ["a", "b", "c", "d"]
