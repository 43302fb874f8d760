"""Both flows with clocks that are off, on a broker: the episodes of exact clocks."""

import json
import time
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial

import pytest

from schemas.metrics import Metrics
from semloop.kafka.topic import TopicAdmin
from semloop.lake.lake import Lake
from semloop.settings import Settings
from sinks.flow_tables import FlowContext
from tests.support.builders import an_event
from tests.support.in_process import run_flow
from tests.support.prompt_producer import prompt_producer

pytestmark = pytest.mark.slow

HOUR_S = 3_600
CLOSED_EARLY = "semloop_episodes_closed_early_total"
# When a session has an event, and then none: two episodes.
EVENTS_S = {0: 1, 10: 1, 22: 1, 40 * 60: 0, 41 * 60: 1, 41 * 60 + 5: 1, 90 * 60: 0}


class Clock:
    """Replaces the module `time` of a flow that runs at another time."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, ahead_s: float) -> None:
        self._ahead_s = ahead_s

    def time(self) -> float:
        return time.time() + self._ahead_s

    def time_ns(self) -> int:
        return int(self.time() * 1e9)

    def now(self, zone: tzinfo) -> datetime:
        return datetime.fromtimestamp(self.time(), zone)


def run_at(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, flow: str, ahead_s: float
) -> Metrics:
    """Run a flow until it has caught up, by a clock that is ahead; return its metrics."""
    clock = Clock(ahead_s)
    with monkeypatch.context() as patched:
        patched.setattr("sources.kafka.bounded_poll.time", clock)
        patched.setattr("flows.archive.datetime", clock)
        context = partial(FlowContext, clock=clock.time)
        patched.setattr(f"flows.{flow}.FlowContext", context)
        return run_flow(settings, flow)


def produce(settings: Settings, skews_s: list[int], at_s: float) -> None:
    """Send an event of each producer, at that time by its own clock."""
    producer = prompt_producer(settings)
    for skew_s in skews_s:
        at = datetime.now(UTC) + timedelta(seconds=at_s + skew_s)
        session = f"of {skew_s:+}"
        event = an_event(meta={"session_id": session}, timestamp=at.isoformat())
        ms = int(at.timestamp() * 1_000)
        producer.produce(settings.topic, json.dumps(event), session, timestamp=ms)
    assert producer.flush(60) == 0


@pytest.mark.parametrize(
    ("archive_s", "memory_s", "skews_s"),
    [
        pytest.param(
            0, 0, [0, -2 * HOUR_S, -35 * 60, 295], id="exact", marks=pytest.mark.storm
        ),
        pytest.param(
            2 * HOUR_S, -2 * HOUR_S, [0, -2 * HOUR_S, -35 * 60, 295],
            id="archive ahead",
        ),
        # An event over five minutes ahead of `archive` would be a dead letter.
        pytest.param(
            -2 * HOUR_S, 2 * HOUR_S, [-2 * HOUR_S, -3 * HOUR_S, -2 * HOUR_S + 295],
            id="archive behind",
        ),
    ],
)  # fmt: skip
def test_clocks_that_are_off_change_no_episode(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    archive_s: int,
    memory_s: int,
    skews_s: list[int],
) -> None:
    settings = settings.replace(embedder="hashing")
    TopicAdmin(settings).ensure()
    for at_s, events in EVENTS_S.items():
        produce(settings, skews_s * events, at_s)
        run_at(monkeypatch, settings, "archive", at_s + archive_s)
        metrics = run_at(monkeypatch, settings, "memory", at_s + memory_s)
        assert metrics.value(CLOSED_EARLY, flow="memory") == 0
    with Lake(settings=settings) as lake:
        found = lake.sql(
            "SELECT session_id, list((closed_by, events) ORDER BY first_offset) "
            "FROM episodes GROUP BY ALL"
        ).fetchall()
        assert lake.sql("SELECT count(*) FROM dead_letters").fetchall() == [(0,)]
    expected = [("inactive", 3), ("inactive", 2)]
    assert dict(found) == {f"of {skew_s:+}": expected for skew_s in skews_s}


def test_a_record_that_its_producer_held_for_long_is_counted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.replace(embedder="hashing")
    TopicAdmin(settings).ensure()
    metrics = Metrics()
    # The second event is from a minute after the first, and arrives after 50 minutes.
    for at_s, sent_s in ((0, [0]), (40 * 60, []), (50 * 60, [60])):
        for event_s in sent_s:
            produce(settings, [0], event_s)
        run_at(monkeypatch, settings, "archive", at_s)
        metrics = run_at(monkeypatch, settings, "memory", at_s)
    assert metrics.value(CLOSED_EARLY, flow="memory") == 1
