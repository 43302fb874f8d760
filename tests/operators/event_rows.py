"""Builders of rows of `events` of one partition, as `archive` stores them."""

import itertools
import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pyarrow as pa

from schemas.arrow import EVENTS
from semloop.settings.memory_sections import EpisodeSettings
from tests.support.builders import NOW, PAYLOADS

Row = dict[str, Any]
# Payload fields that have columns of their own.
OWN_COLUMNS = (
    "tool", "status", "outcome", "reward", "score", "label", "error_type", "role",
    "input_tokens", "output_tokens",
)  # fmt: skip


def event_row(
    kind: str = "message",
    session: str = "s-1",
    at_s: float = 0,
    *,
    kafka_s: float | None = None,
    ingested_s: float = 0,
    payload: Row | None = None,
    **columns: Any,
) -> Row:
    """Return an event `at_s` after NOW, with Kafka time `kafka_s` (the same) after NOW.

    `archive` committed it `ingested_s` after NOW, by its own clock.
    """
    payload = PAYLOADS[kind] if payload is None else payload
    kafka_ts = NOW + timedelta(seconds=at_s if kafka_s is None else kafka_s)
    own = {name: payload[name] for name in OWN_COLUMNS if name in payload}
    return {
        "event_id": "", "type": kind, "ts": NOW + timedelta(seconds=at_s),
        "agent": "booker", "session_id": session, "namespace": "default",
        "credits_used": 0.0, "text": "hello", "payload": json.dumps(payload),
        "topic": "agent-events", "topic_id": "topic-1", "kafka_partition": 0,
        "kafka_ts": kafka_ts, "ingested_at": NOW + timedelta(seconds=ingested_s),
        "date": NOW.date(), **own, **columns,
    }  # fmt: skip


def events_table(*events: Row, first: int = 0) -> pa.Table:
    """Return events at consecutive offsets of partition 0, unless they have their own."""
    rows = [{"kafka_offset": first + n} | row for n, row in enumerate(events)]
    return pa.Table.from_pylist(rows, EVENTS)


def batches(events: pa.Table, cuts: Iterable[int]) -> list[pa.Table]:
    """Split the events before these rows."""
    bounds = sorted({0, *(c for c in cuts if c < events.num_rows), events.num_rows})
    return [events.slice(a, b - a) for a, b in itertools.pairwise(bounds)]


def newest_open(rows: Iterable[Row]) -> list[Row]:
    """Return the newest revision of each open episode."""
    newest: dict[str, Row] = {}
    for row in rows:
        if row["revision"] > newest.get(row["episode_id"], {"revision": 0})["revision"]:
            newest[row["episode_id"]] = row
    return [row for row in newest.values() if row["state"] == "open"]


SMALL = EpisodeSettings(
    session_gap_s=10, delivery_max_s=3, age_s=25, events=4, open_episodes=2
)
