"""Places counted again are those that `Sessions` gave, however the stream is cut."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from operators.episodes.events import TOLD
from operators.episodes.positions import Replay
from semloop.settings.memory_sections import EpisodeSettings
from tests.operators.a_stream import Row, a_stream, batches, said
from tests.operators.test_session_properties import (
    CUTS,
    an_event,
    run_with_places,
)

# Most episodes have several events, and most of them end.
STREAMS = st.lists(an_event(), min_size=10, max_size=30).map(lambda e: a_stream(*e))
BOUNDS = st.builds(
    EpisodeSettings,
    session_gap_s=st.sampled_from([10.0, 1_000.0]),
    events=st.sampled_from([3, 5, 1_000]),
    open_episodes=st.sampled_from([2, 1_000]),
)


def placed(told: pa.Table, rows: list[Row], places: list[Row]) -> pa.Table:
    """What `episodes` says of events: the newest revision of the episode of each."""
    newest: dict[str, Row] = {}
    for row in rows:
        newest[row["episode_id"]] = row
    of = {place["kafka_offset"]: place["episode_id"] for place in places}
    found = [newest[of[offset]] for offset in told["kafka_offset"].to_pylist()]
    return pa.table(
        {
            "episode_id": pa.array([row["episode_id"] for row in found], pa.string()),
            "last_offset": pa.array([row["kafka_offset"] for row in found], pa.int64()),
            "closed": pa.array([row["state"] == "closed" for row in found], pa.bool_()),
        }
    )


def told_of(stream: pa.Table) -> pa.Table:
    wanted = [kind in TOLD for kind in stream["type"].to_pylist()]
    return stream.filter(pa.array(wanted, pa.bool_()))


@given(stream=STREAMS, settings=BOUNDS, cuts=CUTS, again=CUTS, inactive=CUTS)
def test_places_are_those_of_sessions(
    stream: pa.Table,
    settings: EpisodeSettings,
    cuts: set[int],
    again: set[int],
    inactive: set[int],
) -> None:
    rows, places = run_with_places(stream, settings, cuts, (), inactive)
    told = told_of(stream)
    for bounds in (again, range(told.num_rows)):  # The other way is one by one.
        replay = Replay()
        found: list[Row] = []
        for batch in batches(told, bounds):
            found += replay.places(batch, placed(batch, rows, places)).to_pylist()
        assert found == places


@given(stream=STREAMS, settings=BOUNDS, halfway=st.integers(0, 30))
def test_what_was_open_at_first_goes_on(
    stream: pa.Table, settings: EpisodeSettings, halfway: int
) -> None:
    """The first events are placed by what was known then, the others by the rest."""
    replay = Replay()
    found: list[Row] = []
    places: list[Row] = []
    for part in (stream.slice(0, halfway), stream):
        told = told_of(part).slice(len(places))
        rows, places = run_with_places(part, settings, [halfway])
        found += replay.places(told, placed(told, rows, places)).to_pylist()
    assert found == places


def test_what_is_over_is_forgotten() -> None:
    """Most episodes end with an event that is none of those that are counted."""
    events = [
        said(kind, f"s-{n}", at_s=n)
        for n in range(50)
        for kind in ("message", "completion")
    ]
    stream = a_stream(*events, said(session="open", at_s=60))
    rows, places = run_with_places(stream, EpisodeSettings())
    told, replay = told_of(stream), Replay()
    replay.places(told, placed(told, rows, places))
    assert len(replay) == 1
    none = told.slice(0, 0)
    assert replay.places(none, placed(none, rows, places)).num_rows == 0
    assert len(replay) == 1
