"""Opening and closing of episodes."""

import math
from datetime import timedelta

import msgspec
import pyarrow as pa
import pytest

from operators.episodes.sessions import Sessions
from schemas.arrow import EPISODE_POSITIONS, EPISODE_REVISIONS
from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.event_rows import SMALL, Row, event_row, events_table, newest_open
from tests.operators.session_rows import feed, rows_of, values
from tests.support.builders import NOW


def test_a_completion_belongs_to_the_episode_that_it_closes() -> None:
    rows = rows_of(event_row(), event_row("completion", at_s=1), event_row(at_s=2))
    assert values(rows, "closed_by", "first_offset", "kafka_offset", "events") == [
        ("completion", 0, 1, 2),
        (None, 2, 2, 1),
    ]
    assert [row["state"] for row in rows] == ["closed", "open"]


def test_a_completion_alone_is_an_episode() -> None:
    payload = {"outcome": "partial", "reward": 0.25, "summary": "half of it"}
    [row] = rows_of(event_row("completion", payload=payload))
    names = ("events", "outcome", "summary")
    assert values([row], *names) == [(1, "partial", "half of it")]
    assert (row["reward_given"], row["reward"]) == (0.25, 0.25)
    assert 0 < row["efficiency"] * row["quality"] <= row["base"] * 2


@pytest.mark.parametrize("reward", [0.0, -2.5])
def test_a_reward_from_the_agent_takes_precedence(reward: float) -> None:
    payload = {"outcome": "success", "reward": reward}
    [row] = rows_of(event_row(), event_row("completion", at_s=0.001_5, payload=payload))
    assert (row["reward"], row["base"], row["duration_ms"]) == (reward, 1.0, 1.5)


@pytest.mark.parametrize(
    ("events", "closed_by"),
    [
        pytest.param([event_row(), event_row(at_s=10)], None, id="a pause of the gap"),
        pytest.param([event_row(), event_row(at_s=10.001)], "gap", id="a longer pause"),
        pytest.param([event_row(), event_row(at_s=-20)], None, id="a pause backwards"),
        pytest.param([event_row(), event_row(kafka_s=10)], None, id="a pause of the gap in Kafka"),
        pytest.param([event_row(), event_row(kafka_s=10.001)], "gap", id="a longer pause in Kafka"),
        pytest.param([event_row(kafka_s=9), event_row(), event_row(kafka_s=18)], None, id="a gap from the latest time in Kafka"),
        pytest.param([event_row(kafka_ts=None), event_row(kafka_ts=None, ingested_s=10.001)], "gap", id="a pause of arrivals without a time in Kafka"),
        pytest.param([event_row(at_s=9), event_row(), event_row(at_s=18)], None, id="a gap from the latest timestamp"),
        pytest.param([event_row(at_s=n) for n in (0, 9, 18, 25)], None, id="the maximum age"),
        pytest.param([event_row(at_s=n) for n in (0, 9, 18, 25.001)], "age", id="over the maximum age"),
        pytest.param([event_row(at_s=n) for n in (0, -9, -26)], "age", id="over the maximum age, backwards"),
        pytest.param([event_row(at_s=n) for n in range(4)], None, id="the maximum of events"),
        pytest.param([event_row(at_s=n) for n in range(5)], "events", id="over the maximum of events"),
        pytest.param([event_row("feedback") for n in range(9)], None, id="feedback"),
    ],
)  # fmt: skip
def test_a_record_that_exceeds_a_bound_opens_the_next_episode(
    events: list[Row], closed_by: str | None
) -> None:
    rows = rows_of(*events)
    if closed_by:
        closed, still_open = rows
        assert closed["closed_by"] == closed_by
        last = len(events) - 1
        assert (closed["kafka_offset"], still_open["first_offset"]) == (last - 1, last)
    else:
        assert [row["closed_by"] for row in rows] == [None] * len(rows)


def test_bytes_count_payload_and_text() -> None:
    event = event_row(text="é", payload={"content": "é"})
    size = len(event["payload"].encode()) + 2
    settings = msgspec.structs.replace(SMALL, bytes=2 * size)
    rows = rows_of(event, event, event, settings=settings)
    assert values(rows, "closed_by", "bytes") == [("bytes", 2 * size), (None, size)]
    tight = msgspec.structs.replace(SMALL, bytes=1)
    assert [row["events"] for row in rows_of(event, event, settings=tight)] == [1, 1]


def test_a_conversation_imported_backwards_is_one_episode() -> None:
    events = [event_row(at_s=-60 * n) for n in range(1_000)]
    [row] = rows_of(*events, settings=EpisodeSettings())
    assert (row["events"], row["ended_at"]) == (1_000, NOW)
    assert row["started_at"] == NOW - timedelta(minutes=999)
    assert row["duration_ms"] == 999 * 60_000


def test_too_many_open_episodes_evict_the_least_recently_updated() -> None:
    rows = rows_of(*(event_row(session=name) for name in "abac"))
    assert values(rows, "session_id", "closed_by") == [
        ("b", "evicted"), ("a", None), ("c", None),
    ]  # fmt: skip


def test_an_episode_that_closes_immediately_evicts_no_other() -> None:
    still_open = [event_row(session=name) for name in "ab"]
    rows = rows_of(*still_open, event_row("completion", "c"))
    assert values(rows, "session_id", "state") == [
        ("c", "closed"), ("a", "open"), ("b", "open"),
    ]  # fmt: skip


def test_only_updated_episodes_get_a_revision() -> None:
    sessions = Sessions(SMALL)
    feed(sessions, event_row(session="a"), event_row(session="b"))
    second = feed(sessions, event_row(session="b"), event_row(session="b"), first=2)
    third = feed(sessions, event_row("completion", "b"), first=9)
    assert values(second.revisions.to_pylist(), "session_id", "revision") == [("b", 2)]
    assert values(third.revisions.to_pylist(), "session_id", "revision", "state") == [
        ("b", 3, "closed")
    ]
    assert len(sessions) == 1


@pytest.mark.parametrize("kind", ["feedback", "tool_start"])
def test_what_is_no_step_neither_opens_nor_updates_an_episode(kind: str) -> None:
    sessions = Sessions(SMALL)
    assert feed(sessions, event_row(kind)).revisions.num_rows == 0
    feed(sessions, event_row(), first=1)
    later = events_table(event_row(kind, at_s=9, kafka_s=9), first=2)
    assert sessions.feed(later).revisions.num_rows == 0
    # It does not delay the closing of an inactive episode either.
    [row] = sessions.close_inactive((NOW.timestamp() + 13.001) * 1_000).to_pylist()
    assert (row["events"], row["kafka_offset"]) == (1, 1)


def test_no_events_produce_no_rows() -> None:
    sessions = Sessions(SMALL)
    nothing = feed(sessions)
    assert nothing.revisions.equals(EPISODE_REVISIONS.empty_table())
    assert nothing.episode_positions.equals(EPISODE_POSITIONS.empty_table())
    assert sessions.close_inactive(math.inf).equals(EPISODE_REVISIONS.empty_table())
    assert len(Sessions.of(EPISODE_REVISIONS.empty_table(), SMALL)) == 0


def test_offsets_may_have_gaps_but_must_increase() -> None:
    sessions = Sessions(SMALL)
    feed(sessions, event_row(kafka_offset=5), event_row(kafka_offset=70))
    for offsets in ([70], [80, 80], [90, 85]):
        events = [event_row(kafka_offset=offset) for offset in offsets]
        with pytest.raises(AssertionError):
            feed(sessions, *events)


def test_rows_of_another_partition_fail_an_assertion() -> None:
    sessions = Sessions(SMALL)
    kept = feed(sessions, event_row()).revisions
    for other in ({"kafka_partition": 1}, {"topic_id": "topic-2"}):
        with pytest.raises(AssertionError):
            feed(sessions, event_row(**other), first=1)
        with pytest.raises(AssertionError):
            feed(Sessions.of(kept, SMALL), event_row(**other), first=1)
        with pytest.raises(AssertionError):
            feed(Sessions(SMALL), event_row(), event_row(**other))


def test_a_restart_rejects_closed_and_older_revisions() -> None:
    sessions = Sessions(SMALL)
    first = feed(sessions, event_row()).revisions
    second = feed(sessions, event_row(), first=1).revisions
    closed = feed(sessions, event_row("completion"), first=2).revisions
    for rows in (pa.concat_tables([first, second]), closed):
        with pytest.raises(AssertionError):
            Sessions.of(rows, SMALL)
    assert newest_open(first.to_pylist() + second.to_pylist()) == second.to_pylist()


def test_a_restart_with_tighter_bounds_evicts_episodes() -> None:
    events = [event_row(session=name) for name in "abcd"]
    kept = feed(Sessions(EpisodeSettings()), *events).revisions
    rows = feed(Sessions.of(kept, SMALL), event_row(session="e"), first=4)
    assert values(rows.revisions.to_pylist(), "session_id", "closed_by") == [
        ("a", "evicted"), ("b", "evicted"), ("c", "evicted"), ("e", None),
    ]  # fmt: skip


def test_a_restart_evicts_by_last_update_in_any_order_of_its_rows() -> None:
    events = [event_row(session=name) for name in "ab"]
    kept = feed(Sessions(SMALL), *events).revisions
    newest_first = kept.sort_by([("kafka_offset", "descending")])
    rows = feed(Sessions.of(newest_first, SMALL), event_row(session="c"), first=2)
    assert values(rows.revisions.to_pylist(), "session_id", "closed_by") == [
        ("a", "evicted"), ("c", None),
    ]  # fmt: skip


def test_a_restart_rejects_events_that_are_already_in_an_episode() -> None:
    kept = feed(Sessions(SMALL), event_row(), event_row(session="s-2")).revisions
    with pytest.raises(AssertionError):
        feed(Sessions.of(kept, SMALL), event_row(), first=1)


@pytest.mark.slow
def test_twenty_thousand_events_of_many_sessions_are_processed() -> None:
    events = events_table(*(event_row(session=f"s-{n % 50}") for n in range(50)))
    many = pa.concat_tables([events] * 400).set_column(
        events.schema.get_field_index("kafka_offset"),
        "kafka_offset",
        pa.array(range(20_000)),
    )
    rows = Sessions(EpisodeSettings(open_episodes=40)).feed(many).revisions
    # Round robin: each session continues just after its episode was evicted.
    assert sum(rows["events"].to_pylist()) == 20_000
    assert set(rows["closed_by"].to_pylist()) == {"evicted", None}
    assert rows["state"].to_pylist().count("open") == 40


def test_equal_session_ids_of_two_namespaces_are_two_sessions() -> None:
    rows = rows_of(
        event_row(namespace="acme", text="a secret"),
        event_row(namespace="globex"),
        event_row("completion", namespace="globex"),
    )
    assert values(rows, "namespace", "state", "events", "last_text") == [
        ("globex", "closed", 2, "hello"), ("acme", "open", 1, "a secret"),
    ]  # fmt: skip


def test_a_namespace_with_many_sessions_evicts_only_its_own() -> None:
    rows = rows_of(
        event_row(namespace="acme"),
        *(event_row(session=name, namespace="globex") for name in "abc"),
    )
    assert values(rows, "namespace", "session_id", "closed_by") == [
        ("globex", "a", "evicted"), ("acme", "s-1", None),
        ("globex", "b", None), ("globex", "c", None),
    ]  # fmt: skip


def test_too_many_open_episodes_in_all_evict_the_least_recently_updated() -> None:
    settings = msgspec.structs.replace(SMALL, open_episodes_total=2)
    rows = rows_of(*(event_row(namespace=name) for name in "abc"), settings=settings)
    assert values(rows, "namespace", "closed_by") == [
        ("a", "evicted"), ("b", None), ("c", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        pytest.param([None, None], None, id="none"),
        pytest.param([None, "ann", None, "ann"], "ann", id="one"),
        pytest.param(["ann", "bob", "ann"], None, id="several"),
        pytest.param(["", "ann"], None, id="an empty name and another one"),
    ],
)
def test_an_episode_has_a_user_if_its_events_name_exactly_one(
    users: list[str | None], expected: str | None
) -> None:
    [row] = rows_of(*(event_row(user_id=user) for user in users))
    assert row["user_id"] == expected
    assert row["users"] == list(dict.fromkeys(u for u in users if u is not None))
