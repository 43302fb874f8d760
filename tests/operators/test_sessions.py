"""Opening and closing of episodes, and the columns of their rows."""

import json
import math
from datetime import timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from operators.episodes.episode import episode_id
from operators.episodes.sessions import FeedResult, Sessions
from schemas.arrow import EPISODE_POSITIONS, EPISODE_REVISIONS
from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.event_rows import SMALL, Row, event_row, events_table, newest_open
from tests.support.builders import NOW

INT64_MAX = 2**63 - 1


def feed(sessions: Sessions, *events: Row, first: int = 0) -> FeedResult:
    return sessions.feed(events_table(*events, first=first))


def rows_of(*events: Row, settings: EpisodeSettings = SMALL) -> list[Row]:
    """Return the rows that one batch produces."""
    rows: list[Row] = feed(Sessions(settings), *events).revisions.to_pylist()
    return rows


def values(rows: list[Row], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


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


def test_feedback_neither_opens_nor_updates_an_episode() -> None:
    sessions = Sessions(SMALL)
    assert feed(sessions, event_row("feedback")).revisions.num_rows == 0
    feed(sessions, event_row(), first=1)
    later = events_table(event_row("feedback", at_s=9, kafka_s=9), first=2)
    assert sessions.feed(later).revisions.num_rows == 0
    # It does not delay the closing of an inactive episode either.
    caught_up_ms = (NOW.timestamp() + 10.001) * 1_000
    [row] = sessions.close_inactive(caught_up_ms).to_pylist()
    assert (row["events"], row["kafka_offset"]) == (1, 1)


def test_no_events_produce_no_rows() -> None:
    sessions = Sessions(SMALL)
    nothing = feed(sessions)
    assert nothing.revisions.equals(EPISODE_REVISIONS.empty_table())
    assert nothing.episode_positions.equals(EPISODE_POSITIONS.empty_table())
    assert sessions.close_inactive(math.inf).equals(EPISODE_REVISIONS.empty_table())
    assert len(Sessions.of(EPISODE_REVISIONS.empty_table(), SMALL)) == 0


@pytest.mark.parametrize(("waited_s", "closes"), [(10, False), (10.001, True)])
def test_inactivity_is_measured_from_the_kafka_time_of_the_last_record(
    waited_s: float, closes: bool
) -> None:
    sessions = Sessions(SMALL)
    # As after an import: the events are a year old and out of order.
    feed(sessions, event_row(at_s=-3e7, kafka_s=5), event_row(at_s=-3e7, kafka_s=2))
    closed = sessions.close_inactive((NOW.timestamp() + 2 + waited_s) * 1_000)
    expected = [("inactive", 2)] if closes else []
    assert values(closed.to_pylist(), "closed_by", "revision") == expected
    assert len(sessions) == 1 - closes


def test_all_episodes_of_an_ended_partition_close() -> None:
    sessions = Sessions(SMALL)
    feed(sessions, event_row(session="a"), event_row(session="b", kafka_ts=None))
    assert sessions.close_inactive(math.inf).num_rows == 2
    assert len(sessions) == 0


def test_inactivity_is_measured_from_event_time_without_a_kafka_time() -> None:
    sessions = Sessions(SMALL)
    feed(sessions, event_row(kafka_ts=None))
    assert sessions.close_inactive(NOW.timestamp() * 1_000).num_rows == 0
    assert sessions.close_inactive((NOW.timestamp() + 11) * 1_000).num_rows == 1


def test_an_episode_id_derives_from_its_first_origin() -> None:
    [row] = rows_of(event_row())
    # The output of `printf topic-1/0/0 | b2sum -l 128`.
    assert row["episode_id"] == "2937e252e70ff32fc214a4c5e61155b3"
    names = ("topic", "topic_id", "kafka_partition")
    assert values([row], *names) == [("agent-events", "topic-1", 0)]
    ids = {
        rows_of(
            event_row(topic_id=topic_id, kafka_partition=partition, kafka_offset=offset)
        )[0]["episode_id"]
        for topic_id in ("t", "t/1")
        for partition in (0, 1)
        for offset in (0, 10)
    }
    assert len(ids) == 8


def test_the_last_value_of_each_description_is_stored() -> None:
    [row] = rows_of(
        event_row(agent="a", task="fly", task_type="trip", tags=["x"], user_id="u-1"),
        event_row(agent="b", namespace="prod", tags=[]),
        event_row("completion", agent="c", task="fly to Oslo", tags=["y", "z"]),
    )
    assert values(
        [row], "agent", "task", "task_type", "tags", "user_id", "namespace"
    ) == [("c", "fly to Oslo", "trip", ["y", "z"], "u-1", "default")]


def test_the_step_log_keeps_the_first_and_last_forty_steps() -> None:
    settings = EpisodeSettings()
    events = [event_row("tool_call", payload={"tool": f"t{n}", "status": "success"}) for n in range(200)]  # fmt: skip
    [row] = rows_of(*events, settings=settings)
    step_log = json.loads(row["step_log"])
    tools = [f"t{n}" for n in (*range(40), *range(160, 200))]
    assert [step["tool"] for step in step_log if "tool" in step] == tools
    assert step_log[40] == {"left_out": 120}
    assert len(step_log) == 81
    assert row["tools"] == [f"t{n}" for n in range(100)]
    # The count continues after a restart.
    kept = pa.Table.from_pylist([row], EPISODE_REVISIONS)
    fed_again = feed(Sessions.of(kept, settings), events[0], first=500)
    [later] = fed_again.revisions.to_pylist()
    assert json.loads(later["step_log"])[40] == {"left_out": 121}


def test_long_names_and_texts_are_bounded_in_a_row() -> None:
    long = "é" * 100_000
    rows = rows_of(
        event_row(task=long, tags=[long] * 1_000),
        event_row(
            "tool_call", payload={"tool": long, "status": "error", "error_type": long}
        ),
        event_row("state_change", payload={"to_state": long}),
        event_row("completion", payload={"outcome": "success", "summary": long}),
    )
    assert len(json.dumps(rows, default=str, ensure_ascii=False)) < 40_000


def test_sums_of_extreme_values_stay_storable() -> None:
    claims: Row = {
        "input_tokens": INT64_MAX,
        "output_tokens": -INT64_MAX,
        "credits_used": 1.7e308,
    }
    [row] = rows_of(*[event_row(**claims)] * 3)
    assert (row["input_tokens"], row["output_tokens"]) == (INT64_MAX, -INT64_MAX)
    assert math.isfinite(row["credits_used"])
    assert rows_of(event_row())[0]["input_tokens"] is None


def test_an_invalid_payload_does_not_raise() -> None:
    rows = rows_of(
        event_row("state_change", payload={"to_state": 7}),
        {**event_row("completion", at_s=1), "payload": "not JSON", "text": None},
    )
    assert values(rows, "closed_by", "summary", "step_log") == [
        ("completion", None, "[{}]")
    ]


def test_only_closed_episodes_have_reward_factors() -> None:
    names = ("base", "efficiency", "complexity_bonus", "quality", "reward")
    still_open = rows_of(event_row(), settings=SMALL)
    closed = rows_of(event_row(), event_row(at_s=11))[:1]
    assert values(still_open, *names) == [(None,) * 5]
    # Closed without an outcome.
    assert values(closed, *names, "outcome") == [(0.25, 1.0, 0.0, 1.0, 0.25, None)]


def test_failed_calls_and_errors_are_failed_steps() -> None:
    failed = {"tool": "book", "status": "error"}
    [row] = rows_of(
        event_row("tool_call", payload=failed),
        event_row("error"),
        event_row("state_change"),
        event_row("completion", payload={"outcome": "success"}),
    )
    names = ("steps", "tool_calls", "tool_failures", "errors")
    assert values([row], *names) == [(3, 1, 1, 1)]
    assert row["quality"] == pytest.approx(0.5 + 0.5 / 3)
    assert row["reward"] == pytest.approx(row["efficiency"] * row["quality"])


def test_the_position_of_an_event_counts_the_memorable_events_before_it() -> None:
    long = "a" * 300 + "b" * 300
    events = events_table(
        event_row("state_change"),
        event_row(text="hello"),
        event_row("feedback"),
        event_row("tool_call", text=long),
        event_row(session="other", text="elsewhere"),
        event_row("error", text="Timeout: none"),
        event_row("completion"),
        event_row(text="again"),
        event_row(text=None),
        event_row(text="so?"),
    )
    found = Sessions(EpisodeSettings()).feed(events).episode_positions
    assert found.schema == EPISODE_POSITIONS
    assert values(found.to_pylist(), "kafka_offset", "seq", "context") == [
        (1, 0, None),
        (3, 1, "hello"),
        (4, 0, None),
        (5, 2, f"{'a' * 250} … {'b' * 250}"),
        (7, 0, None),
        (8, 1, "again"),
        (9, 2, None),
    ]
    first, second = (found["episode_id"][row].as_py() for row in (3, 4))
    assert (first, second) == (episode_id("topic-1", 0, 0), episode_id("topic-1", 0, 7))


@pytest.mark.parametrize(
    ("roles", "first"),
    [
        pytest.param(["user", "user"], 0, id="first message of a user"),
        pytest.param(["system", "assistant", "user", "user"], 2, id="a later user"),
        pytest.param(["assistant", "tool"], 0, id="first message without any user"),
    ],
)
def test_the_request_is_the_first_message_of_a_user(
    roles: list[str], first: int
) -> None:
    messages = [
        event_row(payload={"role": r}, text=f"text {n}") for n, r in enumerate(roles)
    ]
    [row] = rows_of(
        event_row("error", text="E: x"), *messages, settings=EpisodeSettings()
    )
    assert (row["request"], row["request_role"]) == (f"text {first}", roles[first])
    assert row["last_text"] == f"text {len(roles) - 1}"


def test_request_and_last_text_are_null_without_messages() -> None:
    [row] = rows_of(event_row("completion", text="success"))
    assert (row["request"], row["request_role"], row["last_text"]) == (None, None, None)
    [row] = rows_of(event_row("tool_call", text="search success"))
    assert (row["request"], row["last_text"]) == (None, "search success")
    first, second = ({"role": role} for role in ("assistant", "tool"))
    [row] = rows_of(
        event_row(payload=first, text=None), event_row(payload=second, text="then")
    )
    names = ("request", "request_role", "last_text")
    assert values([row], *names) == [(None, "assistant", "then")]


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


def test_a_hundred_thousand_events_of_many_sessions_are_processed() -> None:
    events = events_table(*(event_row(session=f"s-{n % 50}") for n in range(50)))
    many = pa.concat_tables([events] * 2_000).set_column(
        events.schema.get_field_index("kafka_offset"),
        "kafka_offset",
        pa.array(range(100_000)),
    )
    rows = Sessions(EpisodeSettings(open_episodes=40)).feed(many).revisions
    # Round robin: each session continues just after its episode was evicted.
    assert sum(rows["events"].to_pylist()) == 100_000
    assert set(rows["closed_by"].to_pylist()) == {"evicted", None}
    assert rows["state"].to_pylist().count("open") == 40
