"""Counted positions equal those of `Sessions`, however the events are batched."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.episodes.events import MEMORABLE
from operators.episodes.positions import PositionCounter
from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.event_rows import Row, batches, event_row, events_table
from tests.operators.random_sessions import (
    CUTS,
    an_event,
    run_with_positions,
)

pytestmark = pytest.mark.slow

# Most episodes have several events, and most of them end.
EVENTS = st.lists(an_event(), min_size=10, max_size=30).map(lambda e: events_table(*e))
BOUNDS = st.builds(
    EpisodeSettings,
    session_gap_s=st.sampled_from([10.0, 1_000.0]),
    events=st.sampled_from([3, 5, 1_000]),
    open_episodes=st.sampled_from([2, 1_000]),
)


def placed(memorable: pa.Table, rows: list[Row], positions: list[Row]) -> pa.Table:
    """Return the newest revision of the episode of each event."""
    newest: dict[str, Row] = {}
    for row in rows:
        newest[row["episode_id"]] = row
    episode_ids = {p["kafka_offset"]: p["episode_id"] for p in positions}
    offsets = memorable["kafka_offset"].to_pylist()
    found = [newest[episode_ids[offset]] for offset in offsets]
    return pa.table(
        {
            "episode_id": pa.array([row["episode_id"] for row in found], pa.string()),
            "last_offset": pa.array([row["kafka_offset"] for row in found], pa.int64()),
            "closed": pa.array([row["state"] == "closed" for row in found], pa.bool_()),
        }
    )


def memorable_of(events: pa.Table) -> pa.Table:
    is_memorable = [kind in MEMORABLE for kind in events["type"].to_pylist()]
    return events.filter(pa.array(is_memorable, pa.bool_()))


@given(events=EVENTS, settings=BOUNDS, cuts=CUTS, recount_cuts=CUTS, inactive=CUTS)
def test_counted_positions_equal_those_of_sessions(
    events: pa.Table,
    settings: EpisodeSettings,
    cuts: set[int],
    recount_cuts: set[int],
    inactive: set[int],
) -> None:
    rows, positions = run_with_positions(events, settings, cuts, (), inactive)
    memorable = memorable_of(events)
    one_by_one = range(memorable.num_rows)
    for bounds in (recount_cuts, one_by_one):
        counter = PositionCounter()
        found: list[Row] = []
        for batch in batches(memorable, bounds):
            known = placed(batch, rows, positions)
            found += counter.episode_positions(batch, known).to_pylist()
        assert found == positions


@given(events=EVENTS, settings=BOUNDS, halfway=st.integers(0, 30))
def test_an_episode_that_was_open_in_the_first_batch_continues(
    events: pa.Table, settings: EpisodeSettings, halfway: int
) -> None:
    """Each batch of events is counted with the episodes that are known at that time."""
    counter = PositionCounter()
    found: list[Row] = []
    positions: list[Row] = []
    for part in (events.slice(0, halfway), events):
        memorable = memorable_of(part).slice(len(positions))
        rows, positions = run_with_positions(part, settings, [halfway])
        known = placed(memorable, rows, positions)
        found += counter.episode_positions(memorable, known).to_pylist()
    assert found == positions


def test_ended_episodes_are_dropped() -> None:
    """Most episodes end with a completion, which is not a counted event."""
    rows_in = [
        event_row(kind, f"s-{n}", at_s=n)
        for n in range(50)
        for kind in ("message", "completion")
    ]
    events = events_table(*rows_in, event_row(session="open", at_s=60))
    rows, positions = run_with_positions(events, EpisodeSettings())
    memorable, counter = memorable_of(events), PositionCounter()
    counter.episode_positions(memorable, placed(memorable, rows, positions))
    assert len(counter) == 1
    empty = memorable.slice(0, 0)
    known = placed(empty, rows, positions)
    assert counter.episode_positions(empty, known).num_rows == 0
    assert len(counter) == 1


def test_an_episode_that_ends_with_a_counted_event_is_dropped() -> None:
    ended = events_table(*(event_row(at_s=n) for n in range(3)))
    known = pa.table({
        "episode_id": ["e"] * 3, "last_offset": [2] * 3, "closed": [True] * 3,
    })  # fmt: skip
    counter = PositionCounter()
    counter.episode_positions(ended.slice(0, 2), known.slice(0, 2))
    assert len(counter) == 1
    counter.episode_positions(ended.slice(2), known.slice(2))
    assert len(counter) == 0
