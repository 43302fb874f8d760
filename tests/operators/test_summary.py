"""The text of the memory of an episode."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.episodes.sessions import Sessions
from operators.memories.splitter import token_count
from operators.memories.summary import episode_text
from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.event_rows import Row, event_row, events_table


def text_of(*events: Row, task: str | None = None, **ending: object) -> str:
    """Return the text of a completed episode of these events."""
    payload = {"outcome": "success", "reward": 1.0} | ending
    end = event_row("completion", payload=payload, task=task)
    fed = Sessions(EpisodeSettings(events=20_000)).feed(events_table(*events, end))
    [row] = fed.revisions.to_pylist()
    return episode_text(row)


def call(tool: str, error: str | None = None, *, failed: bool = False) -> Row:
    status = "error" if error or failed else "success"
    payload = {"tool": tool, "status": status}
    return event_row(
        "tool_call", payload=payload | ({"error_type": error} if error else {})
    )


def state(name: str) -> Row:
    return event_row("state_change", payload={"to_state": name})


def error(name: str) -> Row:
    return event_row("error", payload={"error_type": name, "message": "private"})


def test_all_sentences_in_order_of_importance() -> None:
    assert (
        text_of(
            event_row(text="Book me to Oslo"),
            call("find"),
            call("book", "Full"),
            call("book"),
            state("full"),
            error("Timeout"),
            state("paid"),
            task="book a flight",
            reward=0.755,
            summary="Booked it!",
        )
        == "book a flight. Outcome success, reward 0.76. Tried find, book 2 times. "
        "book failed with Full, worked on retry 1. Errors: Timeout. "
        "Ended in state paid. Booked it!"
    )


def test_blank_names_are_omitted() -> None:
    steps = (call("book", "\0 \n"), error("\t"), state("paid"), state("\0"))
    assert text_of(*steps, task="book") == (
        "book. Outcome success, reward 1. Tried book. book failed, never recovered. "
        "Ended in state paid."
    )


def test_the_request_replaces_a_missing_task() -> None:
    text = text_of(
        event_row(text="Can you book me to Oslo?"), task=" ", outcome="failure"
    )
    assert text == "Can you book me to Oslo? Outcome failure, reward 1."


def test_an_episode_without_task_and_outcome_has_a_text() -> None:
    sessions = Sessions(EpisodeSettings())
    sessions.feed(events_table(state("idle")))
    [row] = sessions.close_inactive(float("inf")).to_pylist()
    assert episode_text(row) == "Outcome unknown, reward 0.24. Ended in state idle."


def test_an_episode_of_errors_only() -> None:
    text = text_of(error("Timeout"), error("Full"), error("Timeout"), reward=-0.001)
    assert text == "Outcome success, reward 0. Errors: Timeout 2 times, Full."


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        pytest.param(
            [call("book", "Full"), call("book", "Busy"), call("book", "Full"), call("book")],
            "book failed 3 times with Full and Busy, worked on retry 3.",
            id="a retry of the same tool",
        ),
        pytest.param(
            [call("book", failed=True), call("search"), call("book")],
            "book failed, then search worked.",
            id="another tool",
        ),
        pytest.param(
            [call("book", "Full"), call("pay", "Card"), call("pay")],
            "book failed with Full, then pay worked. pay failed with Card, worked on retry 1.",
            id="two tools",
        ),
        pytest.param(
            [call("find"), call("book", "Full")],
            "book failed with Full, never recovered.",
            id="no recovery",
        ),
        pytest.param(
            [call("book", "Full"), call("book")] * 3,
            "book failed with Full, worked on retry 1 (3 times).",
            id="repeated failures and retries",
        ),
        pytest.param([call("find"), call("book")], None, id="no failure"),
    ],
)  # fmt: skip
def test_failures_are_followed_by_their_recovery(
    calls: list[Row], expected: str | None
) -> None:
    text = text_of(*calls)
    _, tried, rest = text.partition("Tried ")
    assert tried
    assert rest.partition(". ")[2] == (expected or "")


def test_long_names_are_truncated() -> None:
    assert text_of(call("x" * 200)).endswith(f"Tried {'x' * 64}.")


def test_the_number_of_different_failures_is_bounded() -> None:
    calls = [call(f"t{n}", "E") for n in range(9)]
    text = text_of(*calls)
    assert "t4 failed with E, never recovered. Other calls failed too." in text
    assert "t5 failed" not in text


def test_the_text_of_ten_thousand_steps_is_bounded() -> None:
    steps = [call(f"tool_{n}", "Full" if n == 30 else None) for n in range(10_000)]
    text = text_of(*steps, task="fly", summary="All done.")
    assert token_count(text) <= 240
    first, rest = text.split(" more steps, ")
    assert text.startswith("fly. Outcome success, reward 1. Tried tool_0, ")
    hidden = int(first.rpartition(", ")[2])
    shown = first.count("tool_") + rest.partition(".")[0].count("tool_")
    assert hidden + shown == 10_000
    assert "tool_9998, tool_9999. " in rest
    assert "tool_30 failed with Full, then tool_31 worked. All done." in rest


def test_no_recovery_is_claimed_if_the_next_steps_are_left_out() -> None:
    steps = [call("a")] * 39 + [call("book", "Full")] + [call("b")] * 500
    text = text_of(*steps)
    assert text.endswith(
        "Tried a 39 times, book, 460 more steps, b 40 times. book failed with Full."
    )


def test_a_long_task_and_a_long_summary_leave_room_for_the_other_sentences() -> None:
    text = text_of(
        call("book", "Full"), task="word " * 800, summary="Then it rained. " * 200
    )
    assert (
        " word … Outcome success, reward 1. Tried book. book failed with Full" in text
    )
    assert text.endswith("Then it rained.")
    assert 160 < token_count(text) <= 240


@given(
    names=st.lists(
        st.one_of(
            st.text(max_size=200), st.sampled_from(["각" * 200, "a\n\0\r\tb", " ", ""])
        ),
        min_size=4,
        max_size=4,
    ),
    times=st.sampled_from([1, 100]),
)
def test_any_names_produce_one_bounded_line(names: list[str], times: int) -> None:
    tool, failure, last, task = names
    steps = [call(tool, failure), error(failure), state(last), call(f"{tool}2")]
    text = text_of(*steps * times, task=task, summary=failure)
    assert text == text.strip() != ""
    assert len(text.splitlines()) == 1 or not set(text) & set("\n\r\t\0")
    assert token_count(text) <= 240
