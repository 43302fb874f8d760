"""The topic of metrics: absolute values by agent and minute, at least once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from semloop.kafka import published_topics
from semloop.lake.lake import Lake
from semloop.settings import Settings
from sinks.publishing import minutes, outbox
from sinks.publishing.minute_values import MinuteValues
from tests.flows.flow_runner import produce, run_archive
from tests.sinks.published import produced, publishing
from tests.support.builders import an_event, raw
from tests.support.in_process import run_flow

pytestmark = pytest.mark.usefixtures("topic")
VALUES = """
SELECT agent, minute, events, credits_used FROM metrics_by_agent
WHERE minute > now() - INTERVAL 1 DAY
"""


def at(ago: timedelta, agent: str = "a", **more: Any) -> bytes:
    moment = datetime.now(UTC) - ago
    return raw(an_event(agent=agent, timestamp=moment.isoformat(), **more))


def newest(settings: Settings) -> dict[str, dict[str, Any]]:
    """The message of each key that a compacted topic keeps."""
    return dict(produced(settings, "metrics"))


def assert_equal_to_the_view(settings: Settings) -> None:
    with Lake(settings=settings) as lake:
        expected = lake.sql(VALUES).fetchall()
    assert expected
    messages = newest(settings).values()
    found = [
        (m["agent"], m["minute"], m["events"], m["credits_used"]) for m in messages
    ]
    assert sorted(found) == sorted(
        (agent, f"{minute:%Y-%m-%dT%H:%M:%SZ}", events, used)
        for agent, minute, events, used in expected
    )


def test_a_message_has_the_sums_of_its_agent_and_minute(settings: Settings) -> None:
    settings = publishing(settings, "metrics")
    published_topics.ensure(settings)
    for _ in range(2):
        hours = (timedelta(hours=n % 3, minutes=5) for n in range(60))
        produce(settings, [at(ago, "ab"[n % 2]) for n, ago in enumerate(hours)])
        run_archive(settings)
        metrics = run_flow(settings, "metrics")
        assert_equal_to_the_view(settings)
    labels = {"flow": "metrics", "topic": "metrics"}
    assert metrics.value("semloop_published_total", **labels) >= 6
    assert metrics.value("semloop_publish_failures_total", flow="metrics") == 0


def test_minutes_of_more_than_a_day_ago_are_left_out_and_counted(
    settings: Settings,
) -> None:
    settings = publishing(settings, "metrics")
    published_topics.ensure(settings)
    old = timedelta(hours=24, minutes=2)
    produce(settings, [at(old), at(timedelta(minutes=1))])
    run_archive(settings)
    metrics = run_flow(settings, "metrics")
    ((_, message),) = produced(settings, "metrics")
    assert message["events"] == 1
    labels = {"flow": "metrics", "topic": "metrics"}
    assert metrics.value("semloop_not_published_total", **labels) == 1


def test_what_a_crash_kept_from_the_topic_is_produced_at_the_next_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = publishing(settings, "metrics")
    published_topics.ensure(settings)
    produce(settings, [at(timedelta(minutes=5))])
    run_archive(settings)
    run_flow(settings, "metrics")
    produce(settings, [at(timedelta(minutes=5)), at(timedelta(hours=2), "b")])
    run_archive(settings)
    with monkeypatch.context() as patch:
        patch.setattr(minutes.MinutePublisher, "_round", lambda self: None)
        patch.setattr(minutes.MinutePublisher, "_is_waiting", False)
        run_flow(settings, "metrics")
    assert len(newest(settings)) == 1
    # Nothing is committed by this run: it produces what the one before has committed.
    run_flow(settings, "metrics")
    assert len(newest(settings)) == 2
    assert_equal_to_the_view(settings)


def test_a_missing_topic_stops_nothing_and_is_caught_up_with(
    settings: Settings,
) -> None:
    settings = publishing(settings, "metrics")
    produce(settings, [at(timedelta(minutes=1))])
    run_archive(settings)
    first = run_flow(settings, "metrics")
    assert first.value("semloop_summed_events_total", flow="metrics") == 1
    assert first.value("semloop_publish_failures_total", flow="metrics") == 1
    published_topics.ensure(settings)
    run_flow(settings, "metrics")
    assert_equal_to_the_view(settings)


def test_a_value_that_another_worker_has_changed_is_produced_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = publishing(settings, "metrics")
    published_topics.ensure(settings)
    produce(settings, [at(timedelta(minutes=1)) for _ in range(2)])
    run_archive(settings)
    read = MinuteValues.read
    stale = iter([True])

    def late(self: MinuteValues, keys: Any) -> Any:
        """The first time, the value from before the commit of another worker."""
        rows = read(self, keys)
        if next(stale, False):
            at_ = rows.schema.get_field_index("events")
            return rows.set_column(at_, "events", [[1]])
        return rows

    monkeypatch.setattr(MinuteValues, "read", late)
    run_flow(settings, "metrics")
    assert [m["events"] for _, m in produced(settings, "metrics")] == [1, 2]


def test_many_keys_take_several_rounds(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minutes, "KEYS_MAX", 3)
    monkeypatch.setattr(outbox, "MESSAGES_MAX", 2)
    settings = publishing(settings, "metrics", publish_metrics_every_s=0.01)
    published_topics.ensure(settings)
    agents = [f"agent {n}" for n in range(10)]
    produce(settings, [at(timedelta(minutes=1), agent) for agent in agents])
    run_archive(settings)
    run_flow(settings, "metrics")
    assert_equal_to_the_view(settings)
