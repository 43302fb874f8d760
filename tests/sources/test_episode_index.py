"""The index of table `episodes`, followed from version to version."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from semloop.errors import SemLoopError
from semloop.settings import Settings
from semloop.storage.location import Storage
from sources.lake.episode_index import EpisodeIndex
from tests.flows.reindex_lake import LATER_MS, Events, overlapping_sessions, run_memory
from tests.operators.event_rows import event_row, events_table
from tests.sinks.compacting import compact
from tests.sinks.memory_process import ORIGIN, MemoryProcess, lake_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return lake_settings(tmp_path / "la ke ü")


def follow(index: EpisodeIndex, settings: Settings) -> None:
    index.follow(Storage.of(settings).open("episodes"))


def closed(index: EpisodeIndex, *done: str) -> list[str]:
    """Return the sessions of the episodes that closed since the last step."""
    rows = [
        row
        for table in index.closed({ORIGIN: 1_000}, set(done))
        for row in table.to_pylist()
    ]
    return sorted(row["session_id"] for row in rows)


def test_an_event_outside_all_episodes_has_no_place(settings: Settings) -> None:
    events = Events(settings)
    events.add(events_table(event_row(), event_row("completion", at_s=1)))
    run_memory(settings, events)
    index = EpisodeIndex(Storage.of(settings))
    none = events_table()
    assert index.placed(none).num_rows == 0
    queried = events_table(
        event_row(), event_row(), event_row(), event_row(session="stranger")
    )
    assert index.placed(queried).num_rows == 0
    follow(index, settings)
    # An event beyond the episode's last offset has no place yet.
    assert index.placed(queried)["place"].to_pylist() == [0, 1]
    assert index.placed(none).num_rows == 0


def test_closed_returns_only_episodes_closed_since_the_last_step(
    settings: Settings,
) -> None:
    events = Events(settings)
    events.add(events_table(event_row("completion", "a"), event_row(session="b")))
    life = run_memory(settings, events)
    index = EpisodeIndex(Storage.of(settings))
    follow(index, settings)
    assert closed(index) == ["a"]
    follow(index, settings)
    assert closed(index) == []
    events.add(events_table(event_row("completion", "c", at_s=1), first=2))
    assert life.read(events.all, 5, LATER_MS)
    follow(index, settings)
    assert closed(index) == ["b", "c"]
    assert list(index.closed({ORIGIN: -1}, set())) == []


def test_files_rewritten_by_maintenance_are_read_again(settings: Settings) -> None:
    """A rewritten file contains revisions older than those already in the index."""
    events, days = Events(settings), [1.7e9]
    life = MemoryProcess(settings, clock=lambda: days[-1])
    index = EpisodeIndex(Storage.of(settings))
    for number in range(3):
        if number == 2:
            days.append(days[0] + 86_400)
        events.add(overlapping_sessions(20, seed=number, first=20 * number))
        assert life.read(events.all, 20, LATER_MS if number == 2 else None)
    follow(index, settings)
    first_day = datetime.fromtimestamp(days[0], UTC).date().isoformat()
    handle = Storage.of(settings).open("episodes")
    metrics = handle.optimize.compact(partition_filters=[("date", "=", first_day)])
    assert metrics["numFilesRemoved"] == 2
    follow(index, settings)
    fresh = EpisodeIndex(Storage.of(settings))
    follow(fresh, settings)
    assert closed(index) == closed(fresh) != []
    assert index.placed(events.all).equals(fresh.placed(events.all))
    assert index.resume_positions({ORIGIN: 20}) == fresh.resume_positions({ORIGIN: 20})


def test_reading_resumes_at_the_start_of_the_oldest_open_episode(
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
    index = EpisodeIndex(Storage.of(settings))
    follow(index, settings)
    reached = [
        index.resume_positions({ORIGIN: offset})[ORIGIN] for offset in range(-1, 6)
    ]
    # The first event of `open` bounds every position, since the episode is still open.
    assert reached == [-1, 0, 0, 0, 0, 0, 0]


def test_a_missing_file_is_reported(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(10))
    run_memory(settings, events)
    for file in Path(settings.lake, "episodes").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(SemLoopError, match="Cannot read table episodes"):
        follow(EpisodeIndex(Storage.of(settings)), settings)


def test_a_compaction_adds_only_what_is_new(settings: Settings) -> None:
    """A merged file repeats revisions older than those already in the index."""
    events, storage = Events(settings), Storage.of(settings)
    life = MemoryProcess(settings)
    index = EpisodeIndex(storage)
    for number in range(2):
        events.add(overlapping_sessions(20, seed=number, first=20 * number))
        assert life.read(events.all, 20, None)
    follow(index, settings)
    compact(storage, "episodes")
    follow(index, settings)
    assert closed(index) == []
    events.add(overlapping_sessions(20, seed=3, first=40))
    assert life.read(events.all, 20, LATER_MS)
    compact(storage, "episodes")
    follow(index, settings)
    fresh = EpisodeIndex(storage)
    follow(fresh, settings)
    assert closed(index) == closed(fresh) != []
    assert index.placed(events.all).equals(fresh.placed(events.all))
