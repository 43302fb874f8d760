"""What `episodes` says of events, followed from version to version."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from semloop.errors import SemLoopError
from semloop.settings import Settings
from semloop.storage.location import Storage
from sources.lake.episode_index import KnownEpisodes
from tests.flows.reindex_lake import LATER_MS, Events, overlapping_sessions, run_memory
from tests.operators.event_rows import event_row, events_table
from tests.sinks.memory_process import ORIGIN, MemoryProcess, lake_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return lake_settings(tmp_path / "la ke ü")


def follow(known: KnownEpisodes, settings: Settings) -> None:
    known.follow(Storage.of(settings).open("episodes"))


def closed(known: KnownEpisodes, *done: str) -> list[str]:
    """Sessions of what closed since the last step."""
    rows = [
        row
        for table in known.closed({ORIGIN: 1_000}, set(done))
        for row in table.to_pylist()
    ]
    return sorted(row["session_id"] for row in rows)


def test_an_event_that_is_in_no_episode_has_no_place(settings: Settings) -> None:
    events = Events(settings)
    events.add(events_table(event_row(), event_row("completion", at_s=1)))
    run_memory(settings, events)
    known = KnownEpisodes(Storage.of(settings))
    none = events_table()
    assert known.placed(none).num_rows == 0
    asked = events_table(
        event_row(), event_row(), event_row(), event_row(session="stranger")
    )
    assert known.placed(asked).num_rows == 0
    follow(known, settings)
    # Beyond the end of the episode nothing is known yet.
    assert known.placed(asked)["place"].to_pylist() == [0, 1]
    assert known.placed(none).num_rows == 0


def test_only_what_closed_since_the_step_before_is_given(settings: Settings) -> None:
    events = Events(settings)
    events.add(events_table(event_row("completion", "a"), event_row(session="b")))
    life = run_memory(settings, events)
    known = KnownEpisodes(Storage.of(settings))
    follow(known, settings)
    assert closed(known) == ["a"]
    follow(known, settings)
    assert closed(known) == []
    events.add(events_table(event_row("completion", "c", at_s=1), first=2))
    assert life.read(events.all, 5, LATER_MS)
    follow(known, settings)
    assert closed(known) == ["b", "c"]
    assert list(known.closed({ORIGIN: -1}, set())) == []


def test_files_that_a_maintainer_wrote_anew_are_read_anew(settings: Settings) -> None:
    """The revisions in a file of them are older than others that are known."""
    events, days = Events(settings), [1.7e9]
    life = MemoryProcess(settings, clock=lambda: days[-1])
    known = KnownEpisodes(Storage.of(settings))
    for number in range(3):
        if number == 2:
            days.append(days[0] + 86_400)
        events.add(overlapping_sessions(20, seed=number, first=20 * number))
        assert life.read(events.all, 20, LATER_MS if number == 2 else None)
    follow(known, settings)
    first_day = datetime.fromtimestamp(days[0], UTC).date().isoformat()
    handle = Storage.of(settings).open("episodes")
    done = handle.optimize.compact(partition_filters=[("date", "=", first_day)])
    assert done["numFilesRemoved"] == 2
    follow(known, settings)
    fresh = KnownEpisodes(Storage.of(settings))
    follow(fresh, settings)
    assert closed(known) == closed(fresh) != []
    assert known.placed(events.all).equals(fresh.placed(events.all))
    assert known.beginnings({ORIGIN: 20}) == fresh.beginnings({ORIGIN: 20})


def test_reading_begins_where_the_oldest_episode_that_goes_on_began(
    settings: Settings,
) -> None:
    events = Events(settings)
    events.add(
        events_table(
            event_row("completion", "over"),
            event_row(session="open"),
            event_row(session="long"),
            event_row(session="open"),
            event_row("completion", "long", at_s=1),
        )
    )
    run_memory(settings, events)
    known = KnownEpisodes(Storage.of(settings))
    follow(known, settings)
    reached = [known.beginnings({ORIGIN: offset})[ORIGIN] for offset in range(-1, 6)]
    # `open` is open, wherever its last event is.
    assert reached == [-1, 0, 0, 0, 0, 0, 0]


def test_a_file_that_is_gone_is_told(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(10))
    run_memory(settings, events)
    for file in Path(settings.lake, "episodes").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(SemLoopError, match="Cannot read table episodes"):
        follow(KnownEpisodes(Storage.of(settings)), settings)
