"""Texts for memories from a poll, and the policy for what is skipped."""

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.episodes.sessions import Sessions
from operators.memories.chunk import chunk
from operators.memories.splitter import token_count
from schemas.arrow import MEMORY_TEXTS
from schemas.batches import Assigned
from semloop.settings.memory_sections import EpisodeSettings, MemorySettings
from tests.operators.event_rows import SMALL, Row, batches, event_row, events_table
from tests.operators.memory_texts import assigned, chunked, memories
from tests.support.builders import NOW

FAILED: Row = {"tool": "book", "status": "error", "error_type": "Full"}
KOREAN = "".join(f"각{n} " for n in range(200))
LONG = "".join(f"One two three four {n}. " for n in range(100))


def test_the_memory_of_an_event_has_all_columns() -> None:
    _, row = memories(
        event_row(text="hello", user_id="bob"),
        event_row(
            "tool_call", at_s=1, payload=FAILED, text="book error -> full",
            event_id="e-1", task_type="trip", importance=0.5, user_id="ann",
        ),
    )  # fmt: skip
    assert row == {
        "id": hashlib.blake2b(b"topic-1/0/1/0", digest_size=16).digest(),
        "kind": "event", "type": "tool_call", "part": 0,
        "text": "book error -> full",
        "search_text": "hello\nbooker: book error -> full",
        "context_user": "bob",
        "ts": NOW.replace(second=1), "started_at": NOW.replace(second=1),
        "agent": "booker", "session_id": "s-1", "user_id": "ann",
        "namespace": "default", "task_type": "trip", "tool": "book",
        "status": "error", "error_type": "Full", "outcome": None, "reward": None,
        "importance": 0.5, "episode_id": "2937e252e70ff32fc214a4c5e61155b3", "seq": 1,
        "event_ids": ["e-1"], "topic": "agent-events", "topic_id": "topic-1",
        "kafka_partition": 0, "kafka_offset": 1, "kafka_ts": NOW.replace(second=1),
    }  # fmt: skip


def test_the_memory_of_a_closed_episode_has_the_origin_of_its_last_record() -> None:
    end = {"outcome": "partial", "reward": 0.5}
    *_, row = memories(
        event_row(text="Book me to Oslo.", task_type="trip"),
        event_row("completion", at_s=2, payload=end, user_id="ann", importance=1.0),
        event_row(session="still open"),
    )
    text = "Book me to Oslo. Outcome partial, reward 0.5."
    assert row == {
        "id": bytes.fromhex("2937e252e70ff32fc214a4c5e61155b3"),
        "kind": "episode", "type": None, "part": 0, "text": text, "search_text": text,
        "context_user": None,
        "ts": NOW.replace(second=2), "started_at": NOW, "agent": "booker",
        "session_id": "s-1", "user_id": "ann", "namespace": "default",
        "task_type": "trip", "tool": None, "status": None, "error_type": None,
        "outcome": "partial", "reward": 0.5, "importance": None,
        "episode_id": "2937e252e70ff32fc214a4c5e61155b3", "seq": None,
        "event_ids": [], "topic": "agent-events", "topic_id": "topic-1",
        "kafka_partition": 0, "kafka_offset": 1, "kafka_ts": NOW.replace(second=2),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("event", "line"),
    [
        pytest.param(event_row(user_id="ann"), "ann: hello", id="a user"),
        pytest.param(event_row(), "booker: hello", id="a user without a name"),
        pytest.param(event_row(user_id=" "), "booker: hello", id="a blank name"),
        pytest.param(
            event_row(payload={"role": "assistant"}, user_id="ann"), "booker: hello", id="a message of another role"
        ),
        pytest.param(event_row("error", user_id="ann"), "booker: hello", id="an error"),
        pytest.param(event_row(agent="a\r\n\0b"), "a b: hello", id="a name of two lines"),
        pytest.param(event_row(agent="각" * 200), "각" * 40 + ": hello", id="a long name"),
        pytest.param(event_row(agent=None), "hello", id="no agent"),
    ],
)  # fmt: skip
def test_the_last_line_starts_with_the_speaker(event: Row, line: str) -> None:
    [row] = memories(event)
    assert row["search_text"] == line
    _, row = memories(event_row(text="before", payload={"role": "system"}), event)
    assert row["search_text"] == f"before\n{line}"


@pytest.mark.parametrize("before", ["", " ", None])
def test_blank_text_is_not_a_context(before: str | None) -> None:
    [row] = memories(event_row(text=before), event_row(text="after"))
    assert (row["seq"], row["search_text"]) == (1, "booker: after")


def test_a_long_text_is_split_into_parts() -> None:
    rows = memories(
        event_row(text="before"), event_row(text=LONG), event_row(text="after")
    )[1:]
    parts, after = rows[:-1], rows[-1]
    assert [row["part"] for row in parts] == list(range(len(parts)))
    assert " ".join(row["text"] for row in parts) == LONG.strip()
    assert parts[0]["search_text"] == f"before\nbooker: {parts[0]['text']}"
    for row, last in zip(parts[1:], parts, strict=False):
        context = f"{last['text'][:250]} … {last['text'][-250:]}"
        assert row["search_text"] == f"{context}\nbooker: {row['text']}"
    assert all(row["seq"] == 1 for row in parts)
    names = [f"topic-1/0/1/{n}".encode() for n in range(len(parts))]
    ids = [hashlib.blake2b(name, digest_size=16).digest() for name in names]
    assert [row["id"] for row in parts] == ids
    assert after["search_text"] == f"{LONG[:250]} … {LONG[-250:]}\nbooker: after"
    assert (after["part"], after["seq"]) == (0, 2)


def test_skipped_events_still_count_as_positions() -> None:
    found = chunked(
        event_row(text="a"), event_row("tool_call", text="b"), event_row("error", text="c"),
        event_row("completion"), memory_kinds=("error",),
    )  # fmt: skip
    [row] = found.memories.to_pylist()
    assert (row["seq"], row["search_text"]) == (2, "b\nbooker: c")
    assert found.skipped == {"kind": 3}


@pytest.mark.parametrize(
    ("settings", "kept", "skipped"),
    [
        pytest.param({}, "abcde", {"empty": 1}, id="all"),
        pytest.param({"memory_importance_min": 0.5}, "acde", {"importance": 1, "empty": 1}, id="importance"),
        pytest.param({"memory_sample": {"*": 0.0}}, "cd", {"sample": 4}, id="no session"),
        pytest.param({"memory_sample": {"booker/message": 0.0}}, "cde", {"sample": 3}, id="no messages"),
        pytest.param({"memory_kinds": ("message",)}, "ab", {"kind": 3, "empty": 1}, id="messages"),
        pytest.param(
            {"memory_kinds": ("message",), "memory_importance_min": 0.5, "memory_sample": {"*": 0.0}},
            "", {"kind": 3, "importance": 1, "sample": 2}, id="only the first reason counts",
        ),
    ],
)  # fmt: skip
def test_the_policy_selects_the_memories(
    settings: Row, kept: str, skipped: dict[str, int]
) -> None:
    found = chunked(
        event_row(text="a"),
        event_row(text="b", importance=0.4),
        event_row("error", text="c", importance=0.5),
        event_row("tool_call", text="d", payload=FAILED),
        event_row("tool_call", text="e"),
        event_row(text=" \u2028"),
        **settings,
    )
    assert "".join(found.memories["text"].to_pylist()) == kept
    assert found.skipped == skipped


def test_sessions_are_sampled_as_agents_sample_them() -> None:
    found = memories(
        *(event_row(session=f"s-{n}") for n in range(40)), memory_sample={"*": 0.5}
    )
    digests = {
        name: hashlib.blake2b(name.encode(), digest_size=8).digest()[0]
        for name in (f"s-{n}" for n in range(40))
    }
    assert {row["session_id"] for row in found} == {
        name for name, first in digests.items() if first < 128
    }


def test_an_empty_poll_produces_no_texts() -> None:
    found = chunked()
    assert found.memories.equals(MEMORY_TEXTS.empty_table())
    assert found.skipped == {}


def test_positions_of_other_events_fail_an_assertion() -> None:
    one, two = (
        assigned(events_table(event_row(), first=n), Sessions(SMALL)) for n in (0, 1)
    )
    with pytest.raises(AssertionError):
        chunk(
            Assigned(one.memorable, two.episode_positions, one.episodes),
            MemorySettings(),
        )


EVENTS = st.lists(
    st.builds(
        event_row,
        st.sampled_from(["message", "tool_call", "error", "completion", "feedback"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from([0, 5, 20, 40]),
        text=st.sampled_from(["", "hello", LONG, KOREAN, "x" * 900, None]),
        user_id=st.sampled_from([None, "ann", "각" * 90]),
        agent=st.sampled_from(["booker", "a\nb", "é" * 200]),
    ),
    max_size=12,
)


def of_batches(
    cuts: set[int], events: list[Row], settings: EpisodeSettings
) -> list[Row]:
    sessions, policy = Sessions(settings), MemorySettings()
    rows: list[Row] = []
    for batch in batches(events_table(*events), cuts):
        rows += chunk(assigned(batch, sessions), policy).memories.to_pylist()
    closed = sessions.close_inactive(math.inf)
    empty = events_table()
    last = Assigned(empty, sessions.feed(empty).episode_positions, closed)
    rows += chunk(last, policy).memories.to_pylist()
    return sorted(rows, key=lambda row: row["id"])


@given(events=EVENTS, cuts=st.sets(st.integers(0, 12)))
def test_memories_do_not_depend_on_batches(events: list[Row], cuts: set[int]) -> None:
    rows = of_batches(cuts, events, SMALL)
    assert rows == of_batches(set(), events, SMALL)
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        *before, line = row["search_text"].split("\n")
        assert token_count(line) <= 240
        assert len(before) <= 1
        assert all(len(text) <= 503 for text in before)
    of_events = [row for row in rows if row["kind"] == "event"]
    for event in events_table(*events).to_pylist():
        mine = sorted(
            (row for row in of_events if row["kafka_offset"] == event["kafka_offset"]),
            key=lambda row: row["part"],
        )
        text = event["text"] or ""
        is_memorable = event["type"] in ("message", "tool_call", "error")
        assert "".join("".join(row["text"] for row in mine).split()) == (
            "".join(text.split()) if is_memorable else ""
        )
