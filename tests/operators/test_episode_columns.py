"""The columns of the rows of episodes."""

import json
import math

import pyarrow as pa
import pytest

from operators.episodes.episode import episode_id
from operators.episodes.events import both_ends
from operators.episodes.sessions import Sessions
from schemas.arrow import EPISODE_POSITIONS, EPISODE_REVISIONS
from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.event_rows import SMALL, Row, event_row, events_table
from tests.operators.session_rows import feed, rows_of, values

INT64_MAX = 2**63 - 1


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
        event_row(agent="b", tags=[]),
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
        event_row(task=long, tags=[long] * 110),
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


def test_only_a_text_of_more_than_500_characters_is_reduced_to_its_ends() -> None:
    whole, long = "x" * 500, "a" * 250 + "b" + "c" * 250
    reduced = "a" * 250 + " … " + "c" * 250
    assert both_ends(pa.array([whole, long, None])).to_pylist() == [
        whole, reduced, None,
    ]  # fmt: skip
