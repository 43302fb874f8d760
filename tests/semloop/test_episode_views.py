"""The views `episodes` and `sessions`, queried through `Lake`."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from semloop import Lake, tables
from tests.operators.event_rows import Row, event_row
from tests.semloop.written_lake import append, queried, write
from tests.support.builders import NOW

ADDED_BY_THE_VIEW = ("episode", "previous_episode_id", "feedback")
# Arguments of the event builder; all others are fields of the payload.
EVENT_ARGUMENTS = ("session", "at_s", "kafka_s")


def scored(name: str = "helpful", source: str = "human", **fields: Any) -> Row:
    columns = {key: fields.pop(key) for key in EVENT_ARGUMENTS if key in fields}
    payload = {"name": name, "source": source, "score": 1.0} | fields
    return event_row("feedback", payload=payload, **columns)


def scores(lake: Path) -> list[tuple[Any, ...]]:
    """Return each episode's number and its feedback as {name/source: score}."""
    query = "SELECT session_id, episode, feedback FROM episodes ORDER BY ALL"
    return [
        (*key, {f"{f['name']}/{f['source']}": f["score"] for f in feedback or ()})
        for *key, feedback in queried(lake, query)
    ]


def test_views_of_an_empty_lake_are_empty_and_typed(tmp_path: Path) -> None:
    with Lake(tmp_path) as lake:
        columns = [name for name in tables.EPISODES if name != "date"]
        assert lake.sql("FROM episodes").columns == [*columns, *ADDED_BY_THE_VIEW]
        assert lake.sql("FROM episodes").fetchall() == []
        assert lake.sql("FROM sessions").fetchall() == []
        assert "?" in lake.views()["episodes"]


def test_episodes_shows_the_newest_revision_of_open_episodes_too(
    tmp_path: Path,
) -> None:
    write(
        tmp_path,
        [event_row(session="a"), event_row(session="b")],
        [event_row(session="a", at_s=1)],
        [event_row("completion", "a", at_s=2)],
    )
    query = "SELECT session_id, state, revision, events FROM episodes ORDER BY ALL"
    assert queried(tmp_path, query) == [("a", "closed", 3, 3), ("b", "open", 1, 1)]
    # A filter must not match an older revision.
    assert queried(tmp_path, "FROM episodes WHERE state = 'open' AND events = 2") == []


def test_episodes_of_a_session_are_numbered_and_linked(tmp_path: Path) -> None:
    write(
        tmp_path,
        [
            event_row(session="a"),
            event_row(session="b"),
            event_row("completion", "a", at_s=1),
        ],
        [
            event_row(session="a", at_s=2),
            event_row(session="a", at_s=20),
            event_row("completion", "b"),
        ],
    )
    found = queried(
        tmp_path,
        "SELECT e.session_id, e.episode, e.first_offset, p.episode, p.closed_by "
        "FROM episodes e LEFT JOIN episodes p "
        "ON e.previous_episode_id = p.episode_id ORDER BY 1, 2",
    )
    assert found == [
        ("a", 1, 0, None, None), ("a", 2, 3, 1, "completion"), ("a", 3, 4, 2, "gap"),
        ("b", 1, 1, None, None),
    ]  # fmt: skip


def test_feedback_belongs_to_the_episode_before_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        [scored(score=0.1)],  # before any episode
        [event_row(at_s=1), scored(score=0.2, at_s=2), event_row("completion", at_s=3)],
        [scored("polite", score=0.3, at_s=4), event_row(session="s-2", at_s=4)],
        [event_row(at_s=5), scored(score=0.4, at_s=6)],
        # Days later, and one of them replaces earlier feedback.
        [scored("polite", "agent", score=0.5, at_s=9e5), scored(score=0.6, at_s=9e5)],
    )
    assert scores(tmp_path) == [
        ("s-1", 1, {"helpful/human": 0.2, "polite/human": 0.3}),
        ("s-1", 2, {"helpful/human": 0.6, "polite/agent": 0.5}),
        ("s-2", 1, {}),
    ]


def test_late_feedback_neither_opens_nor_rewrites_an_episode(tmp_path: Path) -> None:
    write(tmp_path, [event_row("completion")])
    before = queried(tmp_path, "SELECT * EXCLUDE (feedback) FROM episodes")
    write(tmp_path, [scored(at_s=9e5)], first=1)
    assert queried(tmp_path, "SELECT * EXCLUDE (feedback) FROM episodes") == before
    assert queried(tmp_path, "SELECT count(*) FROM tables.episodes") == [(1,)]
    assert scores(tmp_path) == [("s-1", 1, {"helpful/human": 1.0})]


def test_the_latest_feedback_is_chosen_by_its_event_time(tmp_path: Path) -> None:
    later, earlier = scored(score=0.9, at_s=60), scored(at_s=50, kafka_s=70)
    write(tmp_path, [event_row(), later, earlier])
    assert scores(tmp_path) == [("s-1", 1, {"helpful/human": 0.9})]
    # With equal times the last by offset wins; each source is kept separately.
    other = scored("helpful", "agent", score=0.3)
    write(tmp_path, [scored(score=0.2, at_s=60), other], first=3)
    expected = {"helpful/human": 0.2, "helpful/agent": 0.3}
    assert scores(tmp_path) == [("s-1", 1, expected)]


def test_within_a_partition_feedback_is_assigned_by_offset(tmp_path: Path) -> None:
    # The clock of the producer of the feedback is behind.
    write(
        tmp_path,
        [event_row("completion"), event_row(at_s=9), scored(at_s=9, kafka_s=5)],
    )
    assert scores(tmp_path) == [("s-1", 1, {}), ("s-1", 2, {"helpful/human": 1.0})]


def test_feedback_has_all_its_fields_unchanged(tmp_path: Path) -> None:
    special = "so\u0000 'odd' \"ü\""
    write(
        tmp_path,
        [event_row(), scored(special, label="bad", comment=special, score=None)],
    )
    [(feedback,)] = queried(tmp_path, "SELECT feedback FROM episodes")
    assert feedback == [
        {
            "name": special, "source": "human", "score": None, "label": "bad",
            "comment": special, "ts": NOW,
        }
    ]  # fmt: skip


@pytest.mark.parametrize("origin", [{"topic_id": "topic-2"}, {"kafka_partition": 1}])
def test_feedback_in_another_partition_belongs_to_the_last_episode_before_it(
    tmp_path: Path, origin: dict[str, Any]
) -> None:
    """Occurs if the topic was created again or a producer uses another partitioner."""
    write(
        tmp_path, [event_row("completion"), event_row("completion", at_s=100)], first=50
    )
    write(tmp_path, [scored(score=0.1, at_s=9), scored(score=0.2, at_s=200)], **origin)
    assert scores(tmp_path) == [
        ("s-1", 1, {"helpful/human": 0.1}), ("s-1", 2, {"helpful/human": 0.2}),
    ]  # fmt: skip


def test_feedback_in_another_partition_may_have_the_time_of_the_first_record(
    tmp_path: Path,
) -> None:
    write(tmp_path, [event_row()])
    write(tmp_path, [scored()], kafka_partition=1)
    assert scores(tmp_path) == [("s-1", 1, {"helpful/human": 1.0})]


def test_links_and_numbers_stay_within_a_partition_of_a_topic(tmp_path: Path) -> None:
    write(tmp_path, [event_row()])
    write(tmp_path, [event_row()], topic_id="topic-2")
    query = "SELECT topic_id, episode, previous_episode_id FROM episodes ORDER BY 1"
    assert queried(tmp_path, query) == [("topic-1", 1, None), ("topic-2", 1, None)]


def test_a_session_aggregates_its_episodes(tmp_path: Path) -> None:
    tool = {"tool": "search", "status": "success"}
    failure = {"outcome": "failure", "reward": 0.5}
    write(
        tmp_path,
        [
            event_row("tool_call", payload=tool, credits_used=0.5, task="fly"),
            event_row(
                "completion", at_s=1, payload={"outcome": "success", "reward": 1.0}
            ),
            scored(at_s=2),
        ],
        [
            event_row(
                "tool_call", at_s=3, payload=tool | {"tool": "book", "status": "error"}
            ),
            event_row("error", at_s=4, credits_used=1.0, input_tokens=7),
        ],
        [event_row("completion", at_s=5, agent="payer", payload=failure)],
        [event_row(at_s=6, session="s-2")],
    )
    with Lake(tmp_path) as lake:
        result = lake.sql("FROM sessions ORDER BY session_id")
        first, second = (
            dict(zip(result.columns, row, strict=True)) for row in result.fetchall()
        )
    assert first == {
        "session_id": "s-1", "state": "closed", "episodes": 2,
        "agents": ["booker", "payer"], "namespace": "default", "users": [],
        "tasks": ["fly"], "started_at": NOW, "ended_at": NOW + timedelta(seconds=5),
        "events": 5, "messages": 0, "steps": 3, "tool_calls": 2, "tool_failures": 1,
        "errors": 1, "tools": ["book", "search"], "credits_used": 1.5,
        "input_tokens": 7, "output_tokens": None, "outcome": "failure", "reward": 0.75,
    }  # fmt: skip
    assert (second["state"], second["outcome"], second["reward"]) == (
        "open",
        None,
        None,
    )


def test_the_outcome_of_a_session_is_that_of_its_last_closed_episode(
    tmp_path: Path,
) -> None:
    sessions = write(tmp_path, [event_row("completion"), event_row(at_s=1)])
    query = "SELECT outcome, state FROM sessions"
    assert queried(tmp_path, query) == [("success", "open")]
    append(tmp_path, "episodes", sessions.close_inactive(math.inf))
    assert queried(tmp_path, query) == [(None, "closed")]


def test_the_last_episode_of_a_session_is_the_latest_in_all_its_partitions(
    tmp_path: Path,
) -> None:
    """The offsets of a topic that was created again begin at 0."""
    write(tmp_path, [event_row("completion")], first=50)
    later = event_row("completion", at_s=9, payload={"outcome": "failure"})
    write(tmp_path, [later], topic_id="topic-2")
    assert queried(tmp_path, "SELECT outcome FROM sessions") == [("failure",)]


def test_sums_that_overflow_are_null(tmp_path: Path) -> None:
    claims: Row = {"input_tokens": 2**63 - 1, "credits_used": 1.7e308}
    ends = [event_row("completion", at_s=n, **claims) for n in range(3)]
    write(tmp_path, [*ends, event_row(session="s-2", input_tokens=1)])
    query = "SELECT session_id, episodes, input_tokens FROM sessions ORDER BY 1"
    assert queried(tmp_path, query) == [("s-1", 3, None), ("s-2", 1, 1)]


def test_a_filter_on_the_session_is_pushed_down_to_every_scan(tmp_path: Path) -> None:
    write(
        tmp_path,
        [event_row(), scored(), event_row(session="s-2"), event_row(session="s-3")],
    )
    with Lake(tmp_path) as lake:
        # `sessions` needs no feedback, so it reads one table once.
        for view, scans in (("episodes", 4), ("sessions", 1)):
            query = f"EXPLAIN SELECT * FROM {view} WHERE session_id = 's-2'"
            [(_, plan)] = lake.sql(query).fetchall()
            assert plan.count("DELTA_SCAN") == scans
            assert plan.count("session_id='s-2'") == scans


def test_sessions_of_two_namespaces_share_neither_episodes_nor_feedback(
    tmp_path: Path,
) -> None:
    events = [
        event_row(namespace="acme"),
        event_row("completion", namespace="acme"),
        event_row(namespace="globex"),
        scored() | {"namespace": "acme"},
        event_row(namespace="acme", at_s=1),
    ]
    write(tmp_path, events)
    query = """
        SELECT namespace, episode, previous_episode_id IS NOT NULL, len(feedback)
        FROM episodes ORDER BY ALL
    """
    assert queried(tmp_path, query) == [
        ("acme", 1, False, 1), ("acme", 2, True, None), ("globex", 1, False, None),
    ]  # fmt: skip
    query = "SELECT namespace, session_id, episodes, events FROM sessions ORDER BY ALL"
    assert queried(tmp_path, query) == [
        ("acme", "s-1", 2, 3), ("globex", "s-1", 1, 1),
    ]  # fmt: skip
