"""Makes sessions, and compares their memories with those expected from the events.

The expectation does not depend on the flow or its tables: every message, tool call and
error is one memory (texts are short), and so is every session ended by a completion.
"""

import json
import random
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

from semloop.kafka.topic import TopicAdmin
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests.support.in_process import run_flow
from tests.support.kill_and_audit import Load

SESSION_EVENTS = 20
STARTED_AT = datetime(2026, 11, 20, 9, tzinfo=UTC)
EVENT_MEMORIES = """
SELECT kafka_partition, kafka_offset, text FROM events
WHERE type IN ('message', 'tool_call', 'error')
"""
ENDED_SESSIONS = "SELECT session_id, outcome FROM events WHERE type = 'completion'"


def session_event(number: int, session: str) -> bytes:
    """Event `number` of sessions of 20 events; each session ends with a completion."""
    index = number % SESSION_EVENTS
    text = f"case {number} of {session}"
    if index == SESSION_EVENTS - 1:
        kind, payload = "completion", {"outcome": "success", "task": text}
    elif index == 7:
        kind, payload = "error", {"error_type": "Timeout", "message": text}
    elif index == 11:
        kind, payload = "feedback", {"name": "helpful", "source": "human"}
    elif index == 13:
        kind, payload = "state_change", {"to_state": text}
    elif index % 3:
        kind = "tool_call"
        payload = {"tool": "search", "status": "success", "result": text}
    else:
        kind, payload = "message", {"role": "user", "content": text}
    return json.dumps(
        {
            "id": str(uuid.UUID(int=random.getrandbits(128), version=4)),
            "type": kind,
            "timestamp": (STARTED_AT + timedelta(milliseconds=number)).isoformat(),
            "agent": f"agent-{number % 7}",
            "payload": payload,
            "meta": {"session_id": session},
        }
    ).encode()


def produce_sessions(settings: Settings, events: int, first: int = 0) -> None:
    """Produce complete sessions of `session_event`; the broker must acknowledge all."""
    TopicAdmin(settings).ensure()
    load = Load(
        settings,
        events,
        0.1,
        lambda n, s: session_event(n + first, f"{first}-{s}"),
        prompt=True,
    )
    load.start()
    load.join()
    assert len(load.origins) == events


def run_memory_flow(settings: Settings) -> None:
    """Run `memory` in this process until it has caught up."""
    run_flow(settings, "memory")


def memory_differences(settings: Settings) -> dict[str, object]:
    """Return the differences, by name; empty if `memory` has caught up and is correct."""
    with Lake(settings=settings) as lake:

        def counted(query: str) -> "Counter[tuple[object, ...]]":
            return Counter(lake.sql(query).fetchall())

        expected = counted(EVENT_MEMORIES)
        ended = counted(ENDED_SESSIONS)
        event_memories = counted(
            "SELECT kafka_partition, kafka_offset, text FROM memories"
            " WHERE kind = 'event'"
        )
        episode_memories = counted(
            "SELECT session_id, outcome FROM memories WHERE kind = 'episode'"
        )
        closed = counted(
            "SELECT session_id, outcome FROM episodes WHERE state = 'closed'"
        )
        events = lake.sql(
            "SELECT count(*) FROM events WHERE type NOT IN ('feedback', 'tool_start')"
        )
        in_episodes = lake.sql("SELECT sum(events)::BIGINT FROM episodes")
        sums = (events.fetchall(), in_episodes.fetchall())
    differences = {
        "events lost": expected - event_memories,
        "events duplicated or unknown": event_memories - expected,
        "episodes lost": ended - episode_memories,
        "episodes duplicated or unknown": episode_memories - ended,
        "closed episodes": (closed - ended) + (ended - closed),
        "events in episodes": [] if sums[0] == sums[1] else sums,
    }
    return {name: rows for name, rows in differences.items() if rows}
