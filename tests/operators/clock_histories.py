"""Random histories of a partition: producers whose clocks are off, and flows that stop.

Every time is derived from the true time of an append. A producer's clock is off by a
constant; it may hold a record for less than `delivery_max_s`, or send it from a spool.
"""

import math
import random
from dataclasses import dataclass, field
from itertools import pairwise

import pyarrow as pa

from operators.episodes.sessions import Sessions
from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.event_rows import Row, event_row, events_table
from tests.operators.restored import restored
from tests.support.builders import NOW

# Session gap of the settings; steps between records are shorter or longer.
GAP_S = 1_800
STEPS_S = (1, 5, 60, 400, 1_700, 1_810, 1_900, 2_100)
PRODUCER_SKEWS_S = (0, -35 * 60, -2 * 3600, 5 * 60)
# Of `archive`; the others' clocks are not read.
ARCHIVE_SKEWS_S = (0, -2 * 3600, 2 * 3600)
# Values that do not depend on when the flows ran.
TIMELESS = (
    "episode_id", "namespace", "session_id", "first_offset", "kafka_offset", "events",
    "bytes", "messages", "steps", "started_at", "ended_at", "latest_kafka_ts",
    "archived_at", "credits_used", "outcome", "reward", "request", "last_text",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """An event, seconds by the true clock, and the clock of its producer."""

    appended_s: float
    queued_s: float
    spooled_s: float
    session: str
    namespace: str
    kind: str
    skew_s: float


@dataclass(frozen=True)
class History:
    """Records in order of offsets, and when `archive` committed each, by true time."""

    records: list[Record]
    ingested_s: list[float]
    archive_skew_s: float
    settings: EpisodeSettings = field(default_factory=EpisodeSettings)

    def events(self, *, exact: bool = False) -> pa.Table:
        """Return the rows of `events`; `exact`: as if all clocks were right."""
        rows = []
        for record, ingested_s in zip(self.records, self.ingested_s, strict=True):
            skew_s = 0 if exact else record.skew_s
            rows.append(
                event_row(
                    record.kind,
                    record.session,
                    at_s=record.appended_s + skew_s - record.spooled_s,
                    kafka_s=record.appended_s + skew_s - record.queued_s,
                    ingested_s=ingested_s + (0 if exact else self.archive_skew_s),
                    namespace=record.namespace,
                    credits_used=1.0,
                )
            )
        return events_table(*rows)


def a_history(rng: random.Random, count: int = 70) -> History:
    """Return a random history; sessions are few, so that bounds are reached."""
    sessions = [
        (f"s-{n}", rng.choice(["a", "b"]), rng.choice(PRODUCER_SKEWS_S))
        for n in range(6)
    ]
    now_s, away_until_s = 0.0, 0.0
    records, ingested_s = [], []
    for _ in range(count):
        now_s += rng.choice(STEPS_S)
        if rng.random() < 0.03:
            away_until_s = now_s + rng.choice([600, 4_000, 9_000])
        session, namespace, skew_s = rng.choice(sessions)
        records.append(
            Record(
                appended_s=now_s,
                queued_s=rng.choice([0, 0, 0, 30, 110]),
                spooled_s=rng.choice([0] * 8 + [3_000, 9_000]),
                session=session,
                namespace=namespace,
                kind=rng.choice(["message"] * 8 + ["tool_call", "completion"]),
                skew_s=skew_s,
            )
        )
        ingested_s.append(max(now_s + 1, away_until_s))
    bounds = EpisodeSettings(
        session_gap_s=GAP_S,
        open_episodes=rng.choice([2, 3, 10_000]),
        open_episodes_total=rng.choice([3, 4, 40_000]),
    )
    return History(records, ingested_s, rng.choice(ARCHIVE_SKEWS_S), bounds)


def in_one_pass(history: History, *, exact: bool = False) -> list[Row]:
    """Return all rows of a flow that first runs when the history is complete."""
    sessions = Sessions(history.settings)
    rows: list[Row] = sessions.feed(history.events(exact=exact)).revisions.to_pylist()
    rows += sessions.close_inactive(math.inf).to_pylist()
    return rows


def live(history: History, rng: random.Random) -> tuple[list[Row], int]:
    """Return all rows of a flow that polls, restarts and stops at random.

    And how many episodes it counted as closed early.
    """
    events, sessions = history.events(), Sessions(history.settings)
    rows: list[Row] = []
    early = 0
    count = len(history.records)
    cuts = sorted({0, count, *(rng.randrange(count) for _ in range(count // 3))})
    for start, end in pairwise(cuts):
        if rng.random() < 0.1:
            sessions = restored(rows, history.settings)
        fed = sessions.feed(events.slice(start, end - start))
        rows += fed.revisions.to_pylist()
        early += fed.closed_early
        at_ms = caught_up_ms(history, end)
        if at_ms is not None and rng.random() < 0.9:
            rows += sessions.close_inactive(at_ms).to_pylist()
    return rows + sessions.close_inactive(math.inf).to_pylist(), early


def episodes(rows: list[Row]) -> list[Row]:
    """Return the newest revision of each episode: what does not depend on times."""
    newest: dict[str, Row] = {}
    for row in rows:
        newest[row["episode_id"]] = row
    found = sorted(newest.values(), key=lambda row: row["first_offset"])
    return [{name: row[name] for name in TIMELESS} for row in found]


def boundaries(rows: list[Row]) -> list[tuple[str, int, int, int]]:
    """Return (id, first and last offset, events) of each episode."""
    return [
        (row["episode_id"], row["first_offset"], row["kafka_offset"], row["events"])
        for row in episodes(rows)
    ]


def caught_up_ms(history: History, end: int) -> float | None:
    """Return when `archive` saw that only the records before `end` were there.

    Just before the next one, by its own clock; None if it was away then.
    """
    if end == len(history.records):
        return None
    next_s = history.records[end].appended_s
    if history.ingested_s[end - 1] >= next_s:
        return None
    at_s = NOW.timestamp() + next_s - 0.001 + history.archive_skew_s
    return at_s * 1_000
