"""What `memory` must make of events, and what the lake shows of it.

The oracle knows neither the flow nor its tables: every message, tool call and error is
one memory (texts are short), every session that ended by a completion is one, too.
"""

import json
import random
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

from semloop.lake.lake import Lake
from semloop.settings import Settings

SESSION_EVENTS = 20
BEGAN = datetime(2026, 11, 20, 9, tzinfo=UTC)
TOLD = """
SELECT kafka_partition, kafka_offset, text FROM events
WHERE type IN ('message', 'tool_call', 'error')
"""
ENDED = "SELECT session_id, outcome FROM events WHERE type = 'completion'"


def a_step(number: int, session: str) -> bytes:
    """Event `number` of sessions of 20: talk, calls, an error, feedback, completion."""
    place = number % SESSION_EVENTS
    text = f"case {number} of {session}"
    if place == SESSION_EVENTS - 1:
        kind, payload = "completion", {"outcome": "success", "task": text}
    elif place == 7:
        kind, payload = "error", {"error_type": "Timeout", "message": text}
    elif place == 11:
        kind, payload = "feedback", {"name": "helpful", "source": "human"}
    elif place == 13:
        kind, payload = "state_change", {"to_state": text}
    elif place % 3:
        kind = "tool_call"
        payload = {"tool": "search", "status": "success", "result": text}
    else:
        kind, payload = "message", {"role": "user", "content": text}
    return json.dumps(
        {
            "id": str(uuid.UUID(int=random.getrandbits(128), version=4)),
            "type": kind,
            "timestamp": (BEGAN + timedelta(milliseconds=number)).isoformat(),
            "agent": f"agent-{number % 7}",
            "payload": payload,
            "meta": {"session_id": session},
        }
    ).encode()


def wrong(settings: Settings) -> dict[str, object]:
    """What is not as it must be once `memory` has caught up; nothing is right."""
    with Lake(settings=settings) as lake:

        def counted(query: str) -> "Counter[tuple[object, ...]]":
            return Counter(lake.sql(query).fetchall())

        told, ended = counted(TOLD), counted(ENDED)
        of_events = counted(
            "SELECT kafka_partition, kafka_offset, text FROM memories"
            " WHERE kind = 'event'"
        )
        of_episodes = counted(
            "SELECT session_id, outcome FROM memories WHERE kind = 'episode'"
        )
        closed = counted(
            "SELECT session_id, outcome FROM episodes WHERE state = 'closed'"
        )
        events = lake.sql("SELECT count(*) FROM events WHERE type <> 'feedback'")
        in_episodes = lake.sql("SELECT sum(events)::BIGINT FROM episodes")
        sums = (events.fetchall(), in_episodes.fetchall())
    found = {
        "events lost": told - of_events,
        "events doubled or unknown": of_events - told,
        "episodes lost": ended - of_episodes,
        "episodes doubled or unknown": of_episodes - ended,
        "closed episodes": (closed - ended) + (ended - closed),
        "events in episodes": [] if sums[0] == sums[1] else sums,
    }
    return {what: rows for what, rows in found.items() if rows}
