"""The oracle: walks events one by one and keeps the lists; slow and plain."""

import json
from collections.abc import Iterable
from datetime import timedelta
from functools import reduce
from operator import add

from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.a_stream import Row

Run = list[Row]
TOLD = ("message", "tool_call", "error")


def size(event: Row) -> int:
    return len(event["payload"].encode()) + len(event["text"].encode())


def naive_runs(
    events: Iterable[Row], settings: EpisodeSettings
) -> tuple[list[tuple[str, Run]], list[Run]]:
    """The closed runs with what closed them, in that order, and the open ones."""
    closed: list[tuple[str, Run]] = []
    runs: list[Run] = []
    for event in events:
        if event["type"] == "feedback":
            continue
        mine = [run for run in runs if run[0]["session_id"] == event["session_id"]]
        run = mine[0] if mine else []
        if run:
            runs.remove(run)
        if run and (why := why_not(run, event, settings)):
            closed.append((why, run))
            run = []
        run.append(event)
        if event["type"] == "completion":
            closed.append(("completion", run))
        else:
            runs.append(run)  # the last one touched is the last of the list
        if len(runs) > settings.open_episodes:
            closed.append(("evicted", runs.pop(0)))
    return closed, runs


def why_not(run: Run, event: Row, settings: EpisodeSettings) -> str | None:
    times = [e["ts"] for e in run]
    if event["ts"] - max(times) > timedelta(seconds=settings.session_gap_s):
        return "gap"
    times.append(event["ts"])
    if max(times) - min(times) > timedelta(seconds=settings.age_s):
        return "age"
    if len(run) + 1 > settings.events:
        return "events"
    if sum(map(size, [*run, event])) > settings.bytes:
        return "bytes"
    return None


def summed(run: Run) -> Row:
    """The columns of a run that can be told from its events alone."""
    steps = [e for e in run if e["type"] in ("tool_call", "state_change", "error")]
    calls = [e for e in run if e["type"] == "tool_call"]
    ends = [e for e in run if e["type"] == "completion"]
    messages = [e for e in run if e["type"] == "message"]
    by_users = [e for e in messages if e["role"] == "user"]
    asked = next(iter(by_users or messages), {"text": None, "role": None})
    told = [e["text"] for e in run if e["type"] in TOLD]

    def last(name: str) -> object:
        return next((e[name] for e in reversed(run) if e[name]), None)

    def total(name: str) -> int | None:
        found = [e[name] for e in run if e[name] is not None]
        return sum(found) if found else None

    return {
        "session_id": run[0]["session_id"],
        "first_offset": run[0]["kafka_offset"],
        "first_kafka_ts": run[0]["kafka_ts"],
        "kafka_offset": run[-1]["kafka_offset"],
        "kafka_ts": run[-1]["kafka_ts"],
        "started_at": min(e["ts"] for e in run),
        "ended_at": max(e["ts"] for e in run),
        "events": len(run),
        "bytes": sum(map(size, run)),
        "messages": sum(e["type"] == "message" for e in run),
        "steps": len(steps),
        "tool_calls": len(calls),
        "tool_failures": sum(e["status"] == "error" for e in calls),
        "errors": sum(e["type"] == "error" for e in run),
        "tools": list(dict.fromkeys(e["tool"] for e in calls)),
        # One after the other: `sum` of Python 3.12 rounds otherwise.
        "credits_used": reduce(add, (e["credits_used"] for e in run)),
        "input_tokens": total("input_tokens"),
        "output_tokens": total("output_tokens"),
        "agent": last("agent"),
        "task": last("task"),
        "tags": last("tags"),
        "outcome": ends[0]["outcome"] if ends else None,
        "reward_given": ends[0]["reward"] if ends else None,
        "summary": json.loads(ends[0]["payload"]).get("summary") if ends else None,
        "request": both_ends(asked["text"]),
        "request_role": asked["role"],
        "last_text": both_ends(told[-1] if told else None),
        "step_log": [tried(step) for step in steps],
    }


def places(runs: Iterable[Run]) -> list[Row]:
    """Where each message, tool call and error is, by offset."""
    found: list[Row] = []
    for run in runs:
        told = [event for event in run if event["type"] in TOLD]
        found += [
            {
                "kafka_offset": event["kafka_offset"],
                "first_offset": run[0]["kafka_offset"],
                "seq": seq,
                "context": both_ends(told[seq - 1]["text"]) if seq else None,
            }
            for seq, event in enumerate(told)
        ]
    return sorted(found, key=lambda place: place["kafka_offset"])


def both_ends(text: str | None) -> str | None:
    if text is None or len(text) <= 500:
        return text
    return f"{text[:250]} … {text[-250:]}"


def tried(step: Row) -> Row:
    if step["type"] == "state_change":
        return {"state": json.loads(step["payload"])["to_state"]}
    kept = {name: step[name] for name in ("tool", "status", "error_type")}
    return {name: value for name, value in kept.items() if value is not None}
