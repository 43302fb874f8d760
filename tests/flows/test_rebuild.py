"""`rebuild` makes the same episodes and memories as the flow `memory`."""

from pathlib import Path

import pytest

from flows.rebuild import rebuild
from flows.rebuild_parity import verify
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.flows.rebuilt_lake import both, delete_both, episodes_by_id, files_of
from tests.flows.reindex_lake import (
    LATER_MS,
    Events,
    current_generation,
    overlapping_sessions,
    run_memory,
    small_poll_settings,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_poll_settings(tmp_path / "la ke ü")


def test_rebuild_makes_the_same_episodes_and_memories_as_memory(
    settings: Settings,
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(120))
    run_memory(settings, events, later_ms=LATER_MS)
    before = both(settings)
    report = rebuild(settings)
    assert both(settings) == before
    assert current_generation(settings) == report.generation == 2
    assert (report.events, report.episodes) == (120, len(before[0]))
    assert report.memories == len(before[1])
    assert report.carried == 0


def test_rebuild_restores_deleted_tables(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(120))
    run_memory(settings, events, later_ms=LATER_MS)
    before = both(settings)
    delete_both(settings)
    rebuild(settings)
    assert both(settings) == before


def test_a_lake_that_memory_wrote_is_verified(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(120))
    run_memory(settings, events, later_ms=LATER_MS)
    before = files_of(settings)
    parity = verify(settings)
    assert parity.agrees
    assert parity.stored == parity.computed
    assert (parity.compared, parity.carried) == (len(episodes_by_id(settings)), 0)
    assert files_of(settings) == before


def test_verify_finds_and_counts_what_differs(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(120))
    run_memory(settings, events)
    storage = Storage.of(settings)
    victim = next(iter(episodes_by_id(settings)))
    storage.open("episodes").update(
        updates={"reward": "0.123"}, predicate=f"episode_id = '{victim}'"
    )
    parity = verify(settings)
    assert not parity.agrees
    assert parity.stored != parity.computed
    assert parity.reasons == {"other": 1}
    assert [each.episode_id for each in parity.differences] == [victim]
