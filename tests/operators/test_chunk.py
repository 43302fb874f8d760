"""What is remembered of a poll, as which texts, and what is not."""

import hashlib
import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.episodes.sessions import Sessions
from operators.memories.chunk import chunk
from operators.memories.splitter import token_count
from schemas.arrow import MEMORY_TEXTS
from schemas.batches import Chunked, Windowed
from semloop.settings import Settings
from semloop.settings.memory_sections import EpisodeSettings, MemorySettings
from tests.builders import NOW
from tests.operators.a_stream import SMALL, Row, a_stream, batches, said

FAILED: Row = {"tool": "book", "status": "error", "error_type": "Full"}
LONG = "One two three four five. " * 100


def windowed(events: pa.Table, sessions: Sessions) -> Windowed:
    fed = sessions.feed(events)
    types = pa.array(["message", "tool_call", "error"])
    told = events.filter(pc.is_in(events["type"], types))
    return Windowed(told, fed.places, fed.revisions)


def chunked(*events: Row, **settings: Any) -> Chunked:
    given = Settings().replace(**settings)
    sessions = Sessions(given.episodes, given.rewards)
    return chunk(windowed(a_stream(*events), sessions), given.memory)


def memories(*events: Row, **settings: Any) -> list[Row]:
    found = chunked(*events, **settings).memories
    assert found.schema == MEMORY_TEXTS
    found.validate(full=True)
    rows: list[Row] = found.to_pylist()
    return rows


def test_an_event_is_remembered_with_all_that_it_names() -> None:
    _, row = memories(
        said(text="hello"),
        said(
            "tool_call", at_s=1, payload=FAILED, text="book error -> full",
            event_id="e-1", task_type="trip", importance=0.5, user_id="ann",
        ),
    )  # fmt: skip
    assert row == {
        "id": hashlib.blake2b(b"topic-1/0/1/0", digest_size=16).digest(),
        "kind": "event", "type": "tool_call", "part": 0,
        "text": "book error -> full",
        "search_text": "hello\nbooker: book error -> full",
        "ts": NOW.replace(second=1), "started_at": NOW.replace(second=1),
        "agent": "booker", "session_id": "s-1", "user_id": "ann",
        "namespace": "default", "task_type": "trip", "tool": "book",
        "status": "error", "error_type": "Full", "outcome": None, "reward": None,
        "importance": 0.5, "episode_id": "2937e252e70ff32fc214a4c5e61155b3", "seq": 1,
        "event_ids": ["e-1"], "topic": "agent-events", "topic_id": "topic-1",
        "kafka_partition": 0, "kafka_offset": 1, "kafka_ts": NOW.replace(second=1),
    }  # fmt: skip


def test_a_closed_episode_is_remembered_at_its_last_record() -> None:
    end = {"outcome": "partial", "reward": 0.5}
    *_, row = memories(
        said(text="Book me to Oslo.", task_type="trip"),
        said("completion", at_s=2, payload=end, user_id="ann", importance=1.0),
        said(session="still open"),
    )
    text = "Book me to Oslo. Outcome partial, reward 0.5."
    assert row == {
        "id": bytes.fromhex("2937e252e70ff32fc214a4c5e61155b3"),
        "kind": "episode", "type": None, "part": 0, "text": text, "search_text": text,
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
        pytest.param(said(user_id="ann"), "ann: hello", id="a user"),
        pytest.param(said(), "booker: hello", id="a user without a name"),
        pytest.param(said(user_id=" "), "booker: hello", id="of spaces"),
        pytest.param(
            said(payload={"role": "assistant"}, user_id="ann"), "booker: hello", id="not the user"
        ),
        pytest.param(said("error", user_id="ann"), "booker: hello", id="an error"),
        pytest.param(said(agent="a\r\n\0b"), "a b: hello", id="of two lines"),
        pytest.param(said(agent="각" * 200), "각" * 40 + ": hello", id="long"),
        pytest.param(said(agent=None), "hello", id="nobody"),
    ],
)  # fmt: skip
def test_the_last_line_says_who(event: Row, line: str) -> None:
    [row] = memories(event)
    assert row["search_text"] == line
    _, row = memories(said(text="before", payload={"role": "system"}), event)
    assert row["search_text"] == f"before\n{line}"


@pytest.mark.parametrize("before", ["", " ", None])
def test_white_space_is_no_context(before: str | None) -> None:
    [row] = memories(said(text=before), said(text="after"))
    assert (row["seq"], row["search_text"]) == (1, "booker: after")


def test_a_long_text_is_remembered_in_parts() -> None:
    rows = memories(said(text="before"), said(text=LONG), said(text="after"))[1:]
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


def test_what_is_not_remembered_still_has_a_place() -> None:
    found = chunked(
        said(text="a"), said("tool_call", text="b"), said("error", text="c"),
        said("completion"), memory_kinds=("error",),
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
            "", {"kind": 3, "importance": 1, "sample": 2}, id="the first reason",
        ),
    ],
)  # fmt: skip
def test_the_policy_says_what_is_remembered(
    settings: Row, kept: str, skipped: dict[str, int]
) -> None:
    found = chunked(
        said(text="a"),
        said(text="b", importance=0.4),
        said("error", text="c", importance=0.5),
        said("tool_call", text="d", payload=FAILED),
        said("tool_call", text="e"),
        said(text=" \u2028"),
        **settings,
    )
    assert "".join(found.memories["text"].to_pylist()) == kept
    assert found.skipped == skipped


def test_sessions_are_sampled_as_agents_sample_them() -> None:
    found = memories(
        *(said(session=f"s-{n}") for n in range(40)), memory_sample={"*": 0.5}
    )
    digests = {
        name: hashlib.blake2b(name.encode(), digest_size=8).digest()[0]
        for name in (f"s-{n}" for n in range(40))
    }
    assert {row["session_id"] for row in found} == {
        name for name, first in digests.items() if first < 128
    }


def test_nothing_in_gives_nothing_out() -> None:
    found = chunked()
    assert found.memories.equals(MEMORY_TEXTS.empty_table())
    assert found.skipped == {}


def test_places_of_other_events_are_our_own_mistake() -> None:
    one, two = (windowed(a_stream(said(), first=n), Sessions(SMALL)) for n in (0, 1))
    with pytest.raises(AssertionError):
        chunk(Windowed(one.told, two.places, one.episodes), MemorySettings())


STREAMS = st.lists(
    st.builds(
        said,
        st.sampled_from(["message", "tool_call", "error", "completion", "feedback"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from([0, 5, 20, 40]),
        text=st.sampled_from(["", "hello", LONG, "각 " * 300, "x" * 900, None]),
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
    for batch in batches(a_stream(*events), cuts):
        rows += chunk(windowed(batch, sessions), policy).memories.to_pylist()
    closed = sessions.close_inactive(math.inf)
    none = a_stream()
    left = Windowed(none, sessions.feed(none).places, closed)
    rows += chunk(left, policy).memories.to_pylist()
    return sorted(rows, key=lambda row: row["id"])


@given(events=STREAMS, cuts=st.sets(st.integers(0, 12)))
def test_memories_do_not_depend_on_batches(events: list[Row], cuts: set[int]) -> None:
    rows = of_batches(cuts, events, SMALL)
    assert rows == of_batches(set(), events, SMALL)
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        *before, line = row["search_text"].split("\n")
        assert token_count(line) <= 240
        assert len(before) <= 1
        assert all(len(text) <= 503 for text in before)
    told = [row for row in rows if row["kind"] == "event"]
    for event in a_stream(*events).to_pylist():
        mine = sorted(
            (row for row in told if row["kafka_offset"] == event["kafka_offset"]),
            key=lambda row: row["part"],
        )
        text = event["text"] or ""
        wanted = event["type"] in ("message", "tool_call", "error")
        assert "".join("".join(row["text"] for row in mine).split()) == (
            "".join(text.split()) if wanted else ""
        )
