"""Test oracle: groups events into episodes one by one; simple and slow."""

import json
from collections.abc import Iterable
from datetime import timedelta
from functools import reduce
from operator import add

from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.event_rows import Row

Events = list[Row]
MEMORABLE = ("message", "tool_call", "error")
# In no episode.
OUTSIDE = ("feedback", "tool_start")


def byte_size(event: Row) -> int:
    return len(event["payload"].encode()) + len(event["text"].encode())


def naive_episodes(
    events: Iterable[Row], settings: EpisodeSettings
) -> tuple[list[tuple[str, Events]], list[Events]]:
    """Return (reason, events) of closed episodes in order, and the open ones."""
    closed: list[tuple[str, Events]] = []
    still_open: list[Events] = []
    for event in events:
        if event["type"] in OUTSIDE:
            continue
        mine = [
            other for other in still_open if session_of(other[0]) == session_of(event)
        ]
        episode = mine[0] if mine else []
        if episode:
            still_open.remove(episode)
        if episode and (reason := closing_reason(episode, event, settings)):
            closed.append((reason, episode))
            episode = []
        episode.append(event)
        if event["type"] == "completion":
            closed.append(("completion", episode))
        else:
            still_open.append(episode)  # the last one is the most recently updated
        own = [
            other for other in still_open if other[0]["namespace"] == event["namespace"]
        ]
        if len(own) > settings.open_episodes:
            still_open.remove(own[0])
            closed.append(("evicted", own[0]))
        if len(still_open) > settings.open_episodes_total:
            closed.append(("evicted", still_open.pop(0)))
    return closed, still_open


def session_of(event: Row) -> tuple[str, str]:
    return event["namespace"], event["session_id"]


def closing_reason(events: Events, event: Row, settings: EpisodeSettings) -> str | None:
    times = [e["ts"] for e in events]
    for column in ("ts", "kafka_ts"):
        pause = event[column] - max(e[column] for e in events)
        if pause > timedelta(seconds=settings.session_gap_s):
            return "gap"
    times.append(event["ts"])
    if max(times) - min(times) > timedelta(seconds=settings.age_s):
        return "age"
    if len(events) + 1 > settings.events:
        return "events"
    if sum(map(byte_size, [*events, event])) > settings.bytes:
        return "bytes"
    return None


def summed(events: Events) -> Row:
    """Return the columns of an episode that depend on its events alone."""
    steps = [e for e in events if e["type"] in ("tool_call", "state_change", "error")]
    calls = [e for e in events if e["type"] == "tool_call"]
    ends = [e for e in events if e["type"] == "completion"]
    messages = [e for e in events if e["type"] == "message"]
    by_users = [e for e in messages if e["role"] == "user"]
    request = next(iter(by_users or messages), {"text": None, "role": None})
    memorable = [e for e in events if e["type"] in MEMORABLE]
    users = list(
        dict.fromkeys(e["user_id"] for e in events if e["user_id"] is not None)
    )

    def last(name: str) -> object:
        return next((e[name] for e in reversed(events) if e[name]), None)

    def total(name: str) -> int | None:
        found = [e[name] for e in events if e[name] is not None]
        return sum(found) if found else None

    return {
        "session_id": events[0]["session_id"],
        "first_offset": events[0]["kafka_offset"],
        "first_kafka_ts": events[0]["kafka_ts"],
        "kafka_offset": events[-1]["kafka_offset"],
        "kafka_ts": events[-1]["kafka_ts"],
        "started_at": min(e["ts"] for e in events),
        "ended_at": max(e["ts"] for e in events),
        "events": len(events),
        "bytes": sum(map(byte_size, events)),
        "messages": sum(e["type"] == "message" for e in events),
        "steps": len(steps),
        "tool_calls": len(calls),
        "tool_failures": sum(e["status"] == "error" for e in calls),
        "errors": sum(e["type"] == "error" for e in events),
        "tools": list(dict.fromkeys(e["tool"] for e in calls)),
        # Sequential addition: `sum` rounds differently since Python 3.12.
        "credits_used": reduce(add, (e["credits_used"] for e in events)),
        "input_tokens": total("input_tokens"),
        "output_tokens": total("output_tokens"),
        "namespace": events[0]["namespace"],
        "users": users,
        "user_id": users[0] if len(users) == 1 else None,
        "agent": last("agent"),
        "task": last("task"),
        "tags": last("tags"),
        "outcome": ends[0]["outcome"] if ends else None,
        "reward_given": ends[0]["reward"] if ends else None,
        "summary": json.loads(ends[0]["payload"]).get("summary") if ends else None,
        "request": both_ends(request["text"]),
        "request_role": request["role"],
        "last_text": both_ends(memorable[-1]["text"] if memorable else None),
        "last_user": memorable[-1]["user_id"] if memorable else None,
        "step_log": [logged(step) for step in steps],
    }


def positions(episodes: Iterable[Events]) -> list[Row]:
    """Return the position of each message, tool call and error, by offset."""
    found: list[Row] = []
    for events in episodes:
        memorable = [event for event in events if event["type"] in MEMORABLE]
        found += [
            {
                "kafka_offset": event["kafka_offset"],
                "first_offset": events[0]["kafka_offset"],
                "seq": seq,
                "context": both_ends(memorable[seq - 1]["text"]) if seq else None,
                "context_user": memorable[seq - 1]["user_id"] if seq else None,
            }
            for seq, event in enumerate(memorable)
        ]
    return sorted(found, key=lambda position: position["kafka_offset"])


def both_ends(text: str | None) -> str | None:
    if text is None or len(text) <= 500:
        return text
    return f"{text[:250]} … {text[-250:]}"


def logged(step: Row) -> Row:
    if step["type"] == "state_change":
        return {"state": json.loads(step["payload"])["to_state"]}
    kept = {name: step[name] for name in ("tool", "status", "error_type")}
    return {name: value for name, value in kept.items() if value is not None}
