"""`semloop show`, on sessions written by the flow's own code."""

import csv
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from semloop.command.cli import show
from semloop.settings import Settings
from tests.cli.helpers import Semloop, Writer
from tests.support.builders import an_event

START = datetime(2026, 11, 16, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(seconds: float, kind: str, session: str = "s-1", **fields: Any) -> object:
    meta = {"session_id": session, **fields.pop("meta", {})}
    then = (START + timedelta(seconds=seconds)).isoformat()
    return an_event(kind, meta=meta, timestamp=then, **fields)


def a_call(tool: str, status: str, **more: Any) -> dict[str, Any]:
    return {"tool": tool, "status": status, **more}


def header(out: str) -> dict[str, str]:
    lines, _, _ = out.partition("\n\n")
    fields = [line.split("  ", 1) for line in lines.splitlines()]
    return {name: value.strip() for name, value in fields}


def timeline(out: str) -> list[list[str]]:
    """Return the cells of each event: mark, time since start, clock, text."""
    lines = out.split("\n\n", 1)[1].splitlines()
    return [
        [line[0], *(cell.strip() for cell in line[1:].split("  ") if cell.strip())]
        for line in lines
    ]


def test_show_prints_summary_and_timeline(writer: Writer, semloop: Semloop) -> None:
    reply = {"role": "assistant", "content": "one moment", "model": "m",
             "input_tokens": 1_200, "output_tokens": 30}  # fmt: skip
    writer.write(
        at(0, "message", meta={"user_id": "ann", "credits_used": 0.25}),
        at(0.35, "tool_call", payload=a_call("find", "success", duration_ms=350)),
        at(2, "tool_call", payload=a_call("pay", "error", duration_ms=61_000)),
        at(3, "error"),
        at(4, "message", payload=reply, meta={"credits_used": 0.5}),
        at(200, "completion", meta={"task": "book"}),
        at(3 * 86_400, "feedback"),
    )
    out = semloop("show", "s-1")
    found = header(out)
    assert found == {
        "session": "s-1", "agent": "tester", "user": "ann", "namespace": "default",
        "task": "book", "start": "2026-11-16 09:00:00+00:00",
        "duration": "3 min 20 s", "events": "7", "tool calls": "2, 1 failed",
        "errors": "1", "credits": "0.75", "tokens": "1,200 in, 30 out",
        "outcome": "success", "reward": "1", "feedback": "helpful: 0.5",
    }  # fmt: skip
    assert timeline(out) == [
        [" ", "+0 ms", "09:00:00", "message", "user: hello"],
        [" ", "+350 ms", "09:00:00", "tool_call (350 ms)", "find success"],
        ["!", "+2.0 s", "09:00:02", "tool_call (1 min 1 s)", "pay error"],
        ["!", "+3.0 s", "09:00:03", "error", "Timeout: no answer"],
        [" ", "+4.0 s", "09:00:04", "message", "assistant: one moment"],
        [" ", "+3 min 20 s", "09:03:20", "completion", "success"],
        [" ", "+3 d", "09:00:00", "feedback", "helpful: 0.5"],
    ]


def test_events_are_ordered_by_offset_not_by_clock(
    writer: Writer, semloop: Semloop
) -> None:
    times = (5, 1, 1, 9)
    writer.write(*[at(t, "message", agent=f"a{n}") for n, t in enumerate(times)])
    events = json.loads(semloop("show", "s-1", "--format", "json"))
    assert [event["agent"] for event in events] == ["a0", "a1", "a2", "a3"]
    assert [event["since_start_s"] for event in events] == [4, 0, 0, 8]


def test_partitions_are_merged_by_kafka_timestamp(
    writer: Writer, semloop: Semloop
) -> None:
    for n, partition in enumerate([0, 1, 1, 0]):
        then = START + timedelta(seconds=n)
        event = at(n, "message", agent=f"a{n}")
        writer.write(event, partition=partition, kafka_ts=then)
    events = json.loads(semloop("show", "s-1", "--format", "json"))
    assert [event["agent"] for event in events] == ["a0", "a1", "a2", "a3"]


def test_the_timeline_names_agents_if_there_are_several(
    writer: Writer, semloop: Semloop
) -> None:
    writer.write(at(0, "message", agent="clerk"), at(1, "message", agent="booker"))
    writer.write(at(0, "message", session="alone"))
    out = semloop("show", "s-1")
    assert header(out)["agent"] == "booker, clerk"
    assert timeline(out)[1][3] == "booker message"
    out = semloop("show", "alone")
    assert timeline(out) == [[" ", "+0 ms", "09:00:00", "message", "user: hello"]]
    assert header(out)["duration"] == "0 ms"
    assert header(out)["outcome"] == "none yet"


def test_the_reward_is_that_of_the_last_completion(
    writer: Writer, semloop: Semloop
) -> None:
    ends = [("failure", -1.0), ("success", 0.5)]
    writer.write(
        *[
            at(n, "completion", payload={"outcome": outcome, "reward": reward})
            for n, (outcome, reward) in enumerate(ends)
        ]
    )
    found = header(semloop("show", "s-1"))
    assert (found["outcome"], found["reward"]) == ("failure, success", "0.5")
    assert timeline(semloop("show", "s-1"))[0][0] == "!"
    writer.write(*[at(n, "completion") for n in range(10)])
    assert header(semloop("show", "s-1"))["outcome"].startswith("7 earlier, success")


def test_a_session_with_only_feedback_is_shown(
    writer: Writer, semloop: Semloop
) -> None:
    writer.write(at(0, "feedback"), at(60, "feedback"))
    out = semloop("show", "s-1")
    assert timeline(out)[1][1] == "+1 min"
    assert header(out)["start"] == "2026-11-16 09:00:00+00:00"


def test_feedback_with_an_earlier_timestamp_does_not_change_the_start(
    writer: Writer, semloop: Semloop
) -> None:
    writer.write(at(60, "message"), at(0, "feedback"))
    out = semloop("show", "s-1")
    assert timeline(out)[1][1] == "-1 min"
    assert header(out)["start"] == "2026-11-16 09:01:00+00:00"


def test_a_long_session_is_truncated_only_in_the_table_format(
    writer: Writer, semloop: Semloop
) -> None:
    count = 2_000
    writer.write(*[at(n, "message", agent=f"a{n % 2}") for n in range(count)])
    out = semloop("show", "s-1")
    assert header(out)["events"] == "2,000"
    assert f"... {count - 2 * show.EVENTS_SHOWN:,} events omitted; --format" in out
    clocks = [line[2] for line in timeline(out) if line[1].startswith("+")]
    assert len(clocks) == 2 * show.EVENTS_SHOWN
    last = START + timedelta(seconds=count - 1)
    assert clocks[-1] == last.strftime("%H:%M:%S")
    events = json.loads(semloop("show", "s-1", "--format", "json"))
    assert [event["since_start_s"] for event in events] == list(range(count))


def test_a_long_text_is_wrapped_and_truncated(
    writer: Writer, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "start " + "word " * 700 + "end"
    writer.write(at(0, "message", payload={"role": "user", "content": words}))
    monkeypatch.setenv("COLUMNS", "80")
    out = semloop("show", "s-1")
    assert max(len(line) for line in out.splitlines()) <= 80
    assert out.count("word") == pytest.approx(show.TEXT_CHARS / 5, abs=6)
    assert "start word" in out
    assert "word end" in out
    assert out.endswith("Long texts are truncated; --format json prints all.\n")
    (event,) = json.loads(semloop("show", "s-1", "--format", "json"))
    assert json.loads(event["payload"])["content"] == words


def test_a_unique_prefix_of_an_id_is_accepted(writer: Writer, semloop: Semloop) -> None:
    for session in ("run-1", "run-12", "run-2", "%", "_un"):
        writer.write(at(0, "message", session=session))
    assert header(semloop("show", "run-12"))["session"] == "run-12"
    assert header(semloop("show", "run-1"))["session"] == "run-1"
    assert header(semloop("show", "_"))["session"] == "_un"
    what, _ = semloop.refused("show", "run")
    assert what == "3 sessions begin with 'run': run-1, run-12, run-2."
    what, todo = semloop.refused("show", "walk-1")
    assert what == "There is no session 'walk-1'."
    assert todo == "The newest sessions are: %, _un, run-1, run-12, run-2."


def test_an_unknown_session_lists_the_newest_sessions(
    writer: Writer, semloop: Semloop
) -> None:
    for n in range(8):
        writer.write(at(0, "message", session=f"s-{n}"))
        writer.now += timedelta(seconds=1)
    _, todo = semloop.refused("show", "nothing")
    assert todo == "The newest sessions are: s-7, s-6, s-5, s-4, s-3."


def test_show_prints_csv(writer: Writer, semloop: Semloop) -> None:
    writer.write(at(0, "message"), at(1.5, "completion"))
    out = semloop("show", "s-1", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["since_start_s"], row["type"]) for row in rows] == [
        ("0.0", "message"), ("1.5", "completion"),
    ]  # fmt: skip
    assert rows[1]["ts"] == (START + timedelta(seconds=1.5)).isoformat()


def test_control_characters_of_events_are_escaped(
    writer: Writer, semloop: Semloop
) -> None:
    evil = "\x1b[2J\n[bold]x \u202e"
    payload = a_call(evil, "success", result=evil)
    meta = {"user_id": evil, "task": evil}
    writer.write(at(0, "tool_call", evil, agent=evil, payload=payload, meta=meta))
    writer.write(at(1, "message", evil, agent="other"))
    out = semloop("show", evil[:4])
    assert not set(out) & set("\x1b\u202e")
    assert "\\u001b[2J [bold]x \\u202e" in out
    todo = semloop.refused("show", "x")[1]
    assert "\x1b" not in todo


@pytest.mark.parametrize(
    "name", ["𠮷野家", "😀", "\U000e0041", "\U0010ffff", "a\n\x1b[2J"], ids=ascii
)
def test_a_session_is_found_by_a_name_of_any_characters(
    writer: Writer, semloop: Semloop, name: str
) -> None:
    writer.write(at(0, "message", name), at(1, "message", "s-1"))
    assert header(semloop("show", name))["events"] == "1"


def test_show_reports_a_lake_without_events(semloop: Semloop) -> None:
    assert semloop.refused("show", "s-1")[0].startswith("There is no lake at ")
    Path(".semloop").mkdir()
    what, todo = semloop.refused("show", "s-1")
    assert what == "The lake has no events yet."
    assert "semloop status" in todo
    assert semloop.refused("show")[0] == "Missing argument 'ID'."


def test_show_reads_a_lake_on_s3(
    s3_settings: Settings, semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLOOP_LAKE", s3_settings.lake)
    assert semloop.refused("show", "s-1")[0] == "The lake has no events yet."
    Writer(s3_settings).write(at(0, "message"), at(1, "completion"))
    assert "user: hello" in semloop("show", "s-")


def test_a_session_of_several_namespaces_needs_the_namespace(
    writer: Writer, semloop: Semloop
) -> None:
    metas = [{"namespace": "acme"}, {"namespace": "globex"}]
    writer.write(*(at(n, "message", meta=meta) for n, meta in enumerate(metas)))
    assert semloop.refused("show", "s-1") == (
        "2 namespaces have a session 's-1': acme, globex.",
        "Choose one: --namespace acme.",
    )
    shown = header(semloop("show", "s-1", "--namespace", "globex"))
    assert (shown["namespace"], shown["events"]) == ("globex", "1")
    what, _ = semloop.refused("show", "s-1", "--namespace", "initech")
    assert what == "There are no events in namespace 'initech'."
