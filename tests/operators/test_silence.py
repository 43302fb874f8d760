"""Closing of episodes for lack of events, and the count of those that continue."""

import math

import msgspec
import pytest

from operators.episodes.sessions import Sessions
from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.event_rows import SMALL, Row, event_row
from tests.operators.restored import restored
from tests.operators.session_rows import feed, values
from tests.support.builders import NOW


def caught_up_ms(at_s: float) -> float:
    return (NOW.timestamp() + at_s) * 1_000


@pytest.mark.parametrize(("waited_s", "closes"), [(13, False), (13.001, True)])
@pytest.mark.parametrize("kafka_s", [-7_200.0, 0.0, 300.0])
def test_silence_is_measured_by_the_clock_of_archive(
    waited_s: float, closes: bool, kafka_s: float
) -> None:
    """The gap and the time of delivery after `archive` committed the last record."""
    sessions = Sessions(SMALL)
    # As after an import: the events are a year old.
    events = [event_row(at_s=-3e7, kafka_s=kafka_s, ingested_s=s) for s in (2, 5)]
    feed(sessions, *events)
    closed = sessions.close_inactive(caught_up_ms(5 + waited_s))
    expected = [("inactive", 2)] if closes else []
    assert values(closed.to_pylist(), "closed_by", "revision") == expected
    assert len(sessions) == 1 - closes


def test_all_episodes_of_an_ended_partition_close() -> None:
    sessions = Sessions(SMALL)
    feed(sessions, event_row(session="a"), event_row(session="b", kafka_ts=None))
    assert sessions.close_inactive(math.inf).num_rows == 2
    assert len(sessions) == 0


@pytest.mark.parametrize("skew_s", [-7_200, -2_100, 0, 300])
def test_a_session_of_a_host_whose_clock_is_off_is_one_episode(skew_s: float) -> None:
    sessions = Sessions(EpisodeSettings())
    rows: list[Row] = []
    for n in range(12):
        event = event_row(at_s=2 * n + skew_s, ingested_s=2 * n + 1)
        rows += feed(sessions, event, first=n).revisions.to_pylist()
        rows += sessions.close_inactive(caught_up_ms(2 * n + 1.9)).to_pylist()
    assert {row["episode_id"] for row in rows} == {rows[0]["episode_id"]}
    assert values(rows[-1:], "events", "state") == [(12, "open")]


@pytest.mark.parametrize(
    ("later", "early"),
    [
        pytest.param(event_row(at_s=9, ingested_s=20), 1, id="held by the producer"),
        pytest.param(event_row(at_s=-3_600, kafka_s=9), 1, id="of a slower clock"),
        pytest.param(event_row(at_s=11, kafka_s=9), 0, id="a pause"),
        pytest.param(event_row(at_s=9, kafka_s=11), 0, id="sent from a spool"),
    ],
)
@pytest.mark.parametrize("restarts", [False, True])
def test_an_episode_that_continues_after_it_was_closed_is_counted(
    later: Row, early: int, *, restarts: bool
) -> None:
    sessions = Sessions(SMALL)
    rows = feed(sessions, event_row()).revisions.to_pylist()
    rows += sessions.close_inactive(caught_up_ms(14)).to_pylist()
    if restarts:
        sessions = restored(rows, SMALL)
    assert feed(sessions, later, first=1).closed_early == early
    assert feed(sessions, later, first=2).closed_early == 0


def test_rows_of_an_earlier_version_are_as_old_as_their_commit() -> None:
    rows = feed(Sessions(SMALL), event_row(kafka_s=-7_200)).revisions.to_pylist()
    sessions = restored(rows, SMALL, missing=["latest_kafka_ts", "archived_at"])
    assert sessions.close_inactive(caught_up_ms(13)).num_rows == 0
    assert sessions.close_inactive(caught_up_ms(13.001)).num_rows == 1


def test_a_restart_remembers_the_last_silent_sessions_of_each_bound() -> None:
    sessions = Sessions(SMALL)
    rows: list[Row] = []
    for n, name in enumerate("abb"):
        # The second episode of `b` is the one that counts.
        event = event_row(session=name, at_s=20 * n)
        rows += feed(sessions, event, first=n).revisions.to_pylist()
        rows += sessions.close_inactive(caught_up_ms(14)).to_pylist()
    one = msgspec.structs.replace(SMALL, open_episodes_total=1)
    for settings, early in ((SMALL, 2), (one, 1)):
        later = [event_row(session="a", at_s=5), event_row(session="b", at_s=45)]
        fed = feed(restored(rows, settings), *later, first=3)
        assert fed.closed_early == early


def test_as_many_silent_sessions_are_remembered_as_may_be_open() -> None:
    settings = msgspec.structs.replace(SMALL, open_episodes=9, open_episodes_total=2)
    sessions = Sessions(settings)
    for n, name in enumerate("abc"):
        feed(sessions, event_row(session=name), first=n)
        sessions.close_inactive(caught_up_ms(14))
    found = [feed(sessions, event_row(session=n), first=9 + ord(n)) for n in "abc"]
    assert [fed.closed_early for fed in found] == [0, 1, 1]
