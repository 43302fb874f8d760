"""`reindex` builds the memories of `memory` despite concurrent changes."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from flows import reindex_worker as module
from flows.reindex import reindex
from semloop import layout
from semloop.errors import LakeError, MemoriesSwitched, Terminal, TopicChanged
from semloop.lake import generations
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.delta.fenced_table import FencedTable
from sinks.vectors.new_generation import NewGeneration
from sources.lake import rounds
from sources.lake.episode_index import EpisodeIndex
from tests.flows.reindex_lake import (
    LATER_MS,
    CountingEmbedder,
    Events,
    after_first_round,
    current_generation,
    memories_by_id,
    overlapping_sessions,
    run_memory,
    small_poll_settings,
)
from tests.sources.events_table import EventsTable
from tests.support.builders import LOG

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_poll_settings(tmp_path / "la ke ü")


def test_reindex_includes_an_episode_that_closes_between_two_rounds(
    settings: Settings,
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(60))
    life = run_memory(settings, events)

    def continue_memory() -> None:
        events.add(overlapping_sessions(60, seed=2, first=60))
        while life.read(events.all, 9, LATER_MS):
            pass

    reindex(settings, after_first_round(continue_memory))
    assert current_generation(settings) == 2
    assert memories_by_id(settings) == memories_by_id(settings, generation=1)
    more = events.add(overlapping_sessions(5, first=120))
    with pytest.raises(MemoriesSwitched):
        life.read(more, 9, None)


def test_reindex_retries_the_switch_after_a_commit_just_before_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(60))
    life = run_memory(settings, events)
    switch, attempts = NewGeneration._switch, itertools.count()

    def commit_then_switch(self: Any) -> bool:
        number = next(attempts)
        if number < 3:
            events.add(overlapping_sessions(7, first=60 + 7 * number))
            assert life.read(events.all, 7, LATER_MS if number == 2 else None)
            assert switch(self) is False
            return False
        return switch(self)

    monkeypatch.setattr(NewGeneration, "_switch", commit_then_switch)
    reindex(settings)
    assert next(attempts) == 4
    assert memories_by_id(settings) == memories_by_id(settings, generation=1)


def test_reindex_reports_a_memory_flow_that_commits_too_fast_to_switch(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(20))
    run_memory(settings, events)
    monkeypatch.setattr(rounds, "ROUNDS_MAX", 2)
    monkeypatch.setattr(FencedTable, "take", lambda *_: False)
    with pytest.raises(Terminal, match="commits as fast"):
        reindex(settings)
    assert current_generation(settings) == 1


@pytest.mark.parametrize("model", ["", "other"])
def test_reindex_ends_with_an_error_when_another_reindex_switches_first(
    settings: Settings,
    embedder: CountingEmbedder,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(60))
    run_memory(settings, events)
    expected = memories_by_id(settings)

    def reindex_again() -> None:
        monkeypatch.setattr(
            module, "embedder_of", lambda settings: CountingEmbedder(model)
        )
        assert reindex(settings).generation == (3 if model else 2)

    with pytest.raises(Terminal, match="Another `reindex`"):
        reindex(settings, after_first_round(reindex_again))
    assert len(memories_by_id(settings)) == len(expected)
    assert current_generation(settings) == (3 if model else 2)
    if not model:
        assert memories_by_id(settings) == expected
        # The losing `reindex` must not have fenced `memory` again.
        events.add(overlapping_sessions(5, first=60))
        assert run_memory(settings, events).position == 64


@pytest.mark.parametrize("commit_first", [False, True])
def test_reindex_reports_memories_deleted_during_its_run(
    settings: Settings, *, commit_first: bool
) -> None:
    # Without its layout file, the lake would not be there for the moment.
    layout.bind(Storage.of(settings))
    events = Events(settings)
    events.add(overlapping_sessions(60))
    life = run_memory(settings, events)
    expected = memories_by_id(settings)
    folder = Path(settings.lake, generations.FOLDER)

    def delete() -> None:
        if commit_first:
            events.add(overlapping_sessions(5, first=60))
            life.read(events.all, 5, None)
            expected.update(memories_by_id(settings))
        folder.rename(folder.with_name("gone"))

    with pytest.raises(LakeError) as error:
        reindex(settings, after_first_round(delete))
    assert str(error.value).count("\n") == 1
    assert current_generation(settings) == 1
    reindex(settings)
    assert memories_by_id(settings) == expected


def test_reindex_does_not_switch_to_a_deleted_generation(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(20))
    run_memory(settings, events)
    original, calls = EpisodeIndex.follow, itertools.count()

    def follow(self: EpisodeIndex, handle: DeltaTable) -> None:
        if next(calls) == 1:  # Only the switch remains.
            shutil.rmtree(Path(settings.lake, generations.FOLDER, "generation-2.lance"))
        original(self, handle)

    monkeypatch.setattr(EpisodeIndex, "follow", follow)
    with pytest.raises(LakeError, match="were removed while they were written"):
        reindex(settings)
    assert current_generation(settings) == 1
    assert reindex(settings).generation == 3


def test_reindex_reports_partitions_added_during_its_run(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(30))
    run_memory(settings, events)

    def add_partition() -> None:
        EventsTable(Storage.of(settings), LOG, (1,))

    with pytest.raises(TopicChanged, match="Run it once more"):
        reindex(settings, after_first_round(add_partition))
    assert current_generation(settings) == 1
    assert reindex(settings).memories == 0
    assert memories_by_id(settings) == memories_by_id(settings, generation=1)
