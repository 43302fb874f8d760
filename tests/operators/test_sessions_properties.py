"""Episodes equal those of an oracle, with any batching and any restarts."""

import json
from collections import Counter
from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.episodes.episode import episode_id
from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.event_rows import (
    Row,
    events_table,
    newest_open,
)
from tests.operators.naive_sessions import (
    OUTSIDE,
    naive_episodes,
    positions,
    session_of,
    summed,
)
from tests.operators.random_sessions import CUTS, an_event, run_with_positions

pytestmark = pytest.mark.slow

EVENTS = st.lists(an_event(), max_size=30).map(lambda rows: events_table(*rows))
BOUNDS = st.builds(
    EpisodeSettings,
    session_gap_s=st.sampled_from([3.0, 10.0]),
    age_s=st.sampled_from([8.0, 25.0, 1_000.0]),
    events=st.sampled_from([1, 3, 1_000]),
    bytes=st.sampled_from([1, 150, 2**20]),
    open_episodes=st.sampled_from([1, 2, 1_000]),
    open_episodes_total=st.sampled_from([1, 3, 1_000]),
)


def run(
    events: pa.Table,
    settings: EpisodeSettings,
    cuts: Collection[int] = (),
    restarts: Collection[int] = (),
    inactive: Collection[int] = (),
) -> list[Row]:
    """Return all rows that the events produce; a restart restores from these rows."""
    return run_with_positions(events, settings, cuts, restarts, inactive)[0]


def ends(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return closed episodes in order and open ones by offset, without `revision`."""
    closed = [row for row in rows if row["state"] == "closed"]
    still_open = sorted(newest_open(rows), key=lambda row: row["first_offset"])
    for row in (*closed, *still_open):
        row["revision"] = None
    return closed, still_open


@given(events=EVENTS, settings=BOUNDS)
def test_episodes_equal_those_of_the_oracle(
    events: pa.Table, settings: EpisodeSettings
) -> None:
    closed, still_open = ends(run(events, settings))
    naive_closed, naive_open = naive_episodes(events.to_pylist(), settings)
    reasons = [reason for reason, _ in naive_closed]
    assert [row["closed_by"] for row in closed] == reasons
    expected = [summed(episode) for _, episode in naive_closed]
    expected += sorted(map(summed, naive_open), key=lambda row: row["first_offset"])
    found = [
        {name: row[name] for name in expected[0]}
        | {"step_log": json.loads(row["step_log"])}
        for row in (*closed, *still_open)
    ]
    assert found == expected


@given(events=EVENTS, settings=BOUNDS, cuts=CUTS, restarts=CUTS)
def test_batching_and_restarts_do_not_change_episodes(
    events: pa.Table, settings: EpisodeSettings, cuts: set[int], restarts: set[int]
) -> None:
    assert ends(run(events, settings, cuts, restarts)) == ends(run(events, settings))


@given(events=EVENTS, settings=BOUNDS, cuts=CUTS, restarts=CUTS, inactive=CUTS)
def test_a_restart_does_not_change_any_row(
    events: pa.Table,
    settings: EpisodeSettings,
    cuts: set[int],
    restarts: set[int],
    inactive: set[int],
) -> None:
    expected = run_with_positions(events, settings, cuts, (), inactive)
    assert run_with_positions(events, settings, cuts, restarts, inactive) == expected
    rows, _ = expected
    revisions: dict[str, list[int]] = {}
    for row in rows:
        revisions.setdefault(row["episode_id"], []).append(row["revision"])
    for found in revisions.values():
        assert found == list(range(1, len(found) + 1))


@given(events=EVENTS, settings=BOUNDS, cuts=CUTS, restarts=CUTS)
def test_positions_equal_those_of_the_oracle(
    events: pa.Table, settings: EpisodeSettings, cuts: set[int], restarts: set[int]
) -> None:
    _, found = run_with_positions(events, settings, cuts, restarts)
    closed, still_open = naive_episodes(events.to_pylist(), settings)
    expected = positions([*(episode for _, episode in closed), *still_open])
    for position in expected:
        position["episode_id"] = episode_id("topic-1", 0, position.pop("first_offset"))
    assert found == expected


@given(events=EVENTS, settings=BOUNDS, cuts=CUTS, inactive=CUTS)
def test_every_record_of_a_step_is_in_one_contiguous_episode(
    events: pa.Table, settings: EpisodeSettings, cuts: set[int], inactive: set[int]
) -> None:
    closed, still_open = ends(run(events, settings, cuts, (), inactive))
    episodes = [*closed, *still_open]
    episodes_by_offset: Counter[int] = Counter()
    for episode in episodes:
        offsets = range(episode["first_offset"], episode["kafka_offset"] + 1)
        inside = [
            row["kafka_offset"]
            for row in events.to_pylist()
            if session_of(row) == session_of(episode)
            and row["type"] not in OUTSIDE
            and row["kafka_offset"] in offsets
        ]
        assert len(inside) == episode["events"]
        episodes_by_offset.update(inside)
    kinds: dict[int, Any] = dict(
        zip(events["kafka_offset"].to_pylist(), events["type"].to_pylist(), strict=True)
    )
    expected = {offset: 1 for offset, kind in kinds.items() if kind not in OUTSIDE}
    assert episodes_by_offset == expected
