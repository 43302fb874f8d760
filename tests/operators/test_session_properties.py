"""Any stream, cut and restarted anyhow, gives the same episodes: those of an oracle."""

import json
from collections import Counter
from collections.abc import Collection
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from operators.episodes.episode import episode_id
from operators.episodes.sessions import Sessions
from schemas.arrow import EPISODE_REVISIONS
from semloop.settings.memory_sections import EpisodeSettings
from tests.builders import PAYLOADS
from tests.operators.a_stream import Row, a_stream, batches, newest_open, said
from tests.operators.naive_sessions import naive_runs, places, summed

OTHERS: dict[str, list[Row]] = {
    "tool_call": [
        {"tool": "book", "status": "error", "error_type": "Full"},
        {"tool": "search\u0000 é", "status": "success"},
    ],
    "completion": [{"outcome": "failure", "summary": "no seat"}],
    "message": [
        {"role": "assistant", "content": "", "input_tokens": 3, "output_tokens": 4}
    ],
}


@st.composite
def an_event(draw: st.DrawFn) -> Row:
    kind = draw(st.sampled_from(["message", *PAYLOADS]))
    return said(
        kind,
        draw(st.sampled_from(["a", "b", "c"])),
        # Equal times, small steps, pauses, and all of it backwards.
        draw(st.sampled_from([0, 0, 1, 4, 9, 11, 20, 24, 27, 40, -5, -30])),
        payload=draw(st.sampled_from([PAYLOADS[kind], *OTHERS.get(kind, [])])),
        text=draw(
            st.sampled_from(["", "hello", "é" * 30, "é" * 400, "é" * 250 + "x" * 251])
        ),
        agent=draw(st.sampled_from(["booker", "payer"])),
        task=draw(st.sampled_from([None, "fly", "pay"])),
        tags=draw(st.sampled_from([None, [], ["x"], ["x", "y"]])),
        credits_used=draw(st.sampled_from([0.0, 0.1, 1.5])),
        kafka_s=draw(st.integers(0, 60)),
    )


STREAMS = st.lists(an_event(), max_size=30).map(lambda events: a_stream(*events))
BOUNDS = st.builds(
    EpisodeSettings,
    session_gap_s=st.sampled_from([3.0, 10.0]),
    age_s=st.sampled_from([8.0, 25.0, 1_000.0]),
    events=st.sampled_from([1, 3, 1_000]),
    bytes=st.sampled_from([1, 150, 2**20]),
    open_episodes=st.sampled_from([1, 2, 1_000]),
)
CUTS = st.sets(st.integers(0, 30))


def run(
    stream: pa.Table,
    settings: EpisodeSettings,
    cuts: Collection[int] = (),
    restarts: Collection[int] = (),
    inactive: Collection[int] = (),
) -> list[Row]:
    """All rows that come of a stream; a restart knows nothing but these rows."""
    return run_with_places(stream, settings, cuts, restarts, inactive)[0]


def run_with_places(
    stream: pa.Table,
    settings: EpisodeSettings,
    cuts: Collection[int] = (),
    restarts: Collection[int] = (),
    inactive: Collection[int] = (),
) -> tuple[list[Row], list[Row]]:
    sessions = Sessions(settings)
    rows: list[Row] = []
    found: list[Row] = []
    for number, batch in enumerate(batches(stream, cuts)):
        if number in restarts:
            kept = pa.Table.from_pylist(newest_open(rows)[::-1], EPISODE_REVISIONS)
            sessions = Sessions.of(kept, settings)
        fed = sessions.feed(batch)
        rows += fed.revisions.to_pylist()
        found += fed.places.to_pylist()
        if number in inactive:
            newest = batch["kafka_ts"].to_pylist()[-1].timestamp() * 1_000
            rows += sessions.close_inactive(newest).to_pylist()
    return rows, found


def ends(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Closed episodes as they closed and open ones by offset, but for `revision`."""
    closed = [row for row in rows if row["state"] == "closed"]
    still_open = sorted(newest_open(rows), key=lambda row: row["first_offset"])
    for row in (*closed, *still_open):
        row["revision"] = None
    return closed, still_open


@given(stream=STREAMS, settings=BOUNDS)
def test_episodes_are_those_of_the_oracle(
    stream: pa.Table, settings: EpisodeSettings
) -> None:
    closed, still_open = ends(run(stream, settings))
    runs, open_runs = naive_runs(stream.to_pylist(), settings)
    assert [row["closed_by"] for row in closed] == [why for why, _ in runs]
    expected = [summed(events) for _, events in runs]
    expected += sorted(map(summed, open_runs), key=lambda row: row["first_offset"])
    found = [
        {name: row[name] for name in expected[0]}
        | {"step_log": json.loads(row["step_log"])}
        for row in (*closed, *still_open)
    ]
    assert found == expected


@given(stream=STREAMS, settings=BOUNDS, cuts=CUTS, restarts=CUTS)
def test_neither_cuts_nor_restarts_change_an_episode(
    stream: pa.Table, settings: EpisodeSettings, cuts: set[int], restarts: set[int]
) -> None:
    assert ends(run(stream, settings, cuts, restarts)) == ends(run(stream, settings))


@given(stream=STREAMS, settings=BOUNDS, cuts=CUTS, restarts=CUTS, inactive=CUTS)
def test_a_restart_changes_no_row_at_all(
    stream: pa.Table,
    settings: EpisodeSettings,
    cuts: set[int],
    restarts: set[int],
    inactive: set[int],
) -> None:
    both = run_with_places(stream, settings, cuts, (), inactive)
    assert run_with_places(stream, settings, cuts, restarts, inactive) == both
    plain, _ = both
    revisions: dict[str, list[int]] = {}
    for row in plain:
        revisions.setdefault(row["episode_id"], []).append(row["revision"])
    for found in revisions.values():
        assert found == list(range(1, len(found) + 1))


@given(stream=STREAMS, settings=BOUNDS, cuts=CUTS, restarts=CUTS)
def test_places_are_those_of_the_oracle(
    stream: pa.Table, settings: EpisodeSettings, cuts: set[int], restarts: set[int]
) -> None:
    _, found = run_with_places(stream, settings, cuts, restarts)
    closed, still_open = naive_runs(stream.to_pylist(), settings)
    expected = places([*(events for _, events in closed), *still_open])
    for place in expected:
        place["episode_id"] = episode_id("topic-1", 0, place.pop("first_offset"))
    assert found == expected


@given(stream=STREAMS, settings=BOUNDS, cuts=CUTS, inactive=CUTS)
def test_every_record_but_feedback_is_in_one_episode_and_those_are_contiguous(
    stream: pa.Table, settings: EpisodeSettings, cuts: set[int], inactive: set[int]
) -> None:
    closed, still_open = ends(run(stream, settings, cuts, (), inactive))
    episodes = [*closed, *still_open]
    held: Counter[int] = Counter()
    for episode in episodes:
        offsets = range(episode["first_offset"], episode["kafka_offset"] + 1)
        inside = [
            row["kafka_offset"]
            for row in stream.to_pylist()
            if row["session_id"] == episode["session_id"]
            and row["type"] != "feedback"
            and row["kafka_offset"] in offsets
        ]
        assert len(inside) == episode["events"]
        held.update(inside)
    kinds: dict[int, Any] = dict(
        zip(stream["kafka_offset"].to_pylist(), stream["type"].to_pylist(), strict=True)
    )
    assert held == {offset: 1 for offset, kind in kinds.items() if kind != "feedback"}
