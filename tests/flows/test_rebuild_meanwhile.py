"""`rebuild` switches to what `memory` would have, despite concurrent changes."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from flows import rebuild_worker as module
from flows.compact import compact
from flows.rebuild import rebuild
from flows.reindex import reindex
from schemas.arrow import EPISODES
from semloop.delta.streams import StreamId
from semloop.errors import (
    MemoriesSwitched,
    StorageUnavailable,
    Terminal,
    TopicChanged,
)
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.episode_switch import EpisodeSwitch
from sources.lake import event_rounds
from tests.flows.rebuilt_lake import both, count_of_rows, episodes_by_id
from tests.flows.reindex_lake import (
    LATER_MS,
    Events,
    after_first_round,
    current_generation,
    memories_by_id,
    overlapping_sessions,
    run_memory,
    small_poll_settings,
)
from tests.sinks.memory_process import MemoryProcess, lake_settings, query_rows
from tests.sources.events_table import EventsTable
from tests.support.builders import LOG

pytestmark = pytest.mark.slow
ENTRY = "episodes/_delta_log/"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_poll_settings(tmp_path / "la ke ü")


@pytest.fixture
def unaffected(tmp_path: Path) -> Settings:
    """A lake that no rebuild touches, with the same events."""
    return lake_settings(tmp_path / "unaffected")


def expected(settings: Settings, events: int) -> Any:
    """Return what `memory` makes of these events alone."""
    all_events = Events(settings)
    all_events.add(overlapping_sessions(events))
    run_memory(settings, all_events, later_ms=LATER_MS)
    return both(settings)


@pytest.mark.parametrize("read_by_memory", [False, True])
def test_rebuild_includes_what_came_between_two_rounds(
    settings: Settings, unaffected: Settings, *, read_by_memory: bool
) -> None:
    events = Events(settings, caught_up_ms=0)
    events.add(overlapping_sessions(120).slice(0, 60))
    life = run_memory(settings, events)

    def more() -> None:
        events.add(overlapping_sessions(120).slice(60), LATER_MS)
        while read_by_memory and life.read(events.all, 9, LATER_MS):
            pass

    rebuild(settings, after_first_round(more))
    assert both(settings) == expected(unaffected, 120)
    rest = events.add(overlapping_sessions(5, first=120))
    with pytest.raises(MemoriesSwitched):
        life.read(rest, 9, None)


@pytest.mark.parametrize("rebuild_last", [False, True])
def test_open_episodes_continue_unchanged_after_a_rebuild(
    settings: Settings, unaffected: Settings, *, rebuild_last: bool
) -> None:
    events = Events(settings, caught_up_ms=0)
    for part in range(3):
        later_ms = LATER_MS if part == 2 else None
        events.add(overlapping_sessions(90).slice(part * 30, 30), later_ms)
        run_memory(settings, events, later_ms=later_ms)
        if part < 2 or rebuild_last:
            rebuild(settings)
    assert both(settings) == expected(unaffected, 90)


def test_rebuild_reads_again_after_memory_has_read_more(
    settings: Settings, unaffected: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings, caught_up_ms=0)
    events.add(overlapping_sessions(81).slice(0, 60))
    life = run_memory(settings, events)
    switch, attempts = EpisodeSwitch.replace_by, itertools.count()

    def commit_then_switch(self: Any, *args: Any) -> bool:
        number = next(attempts)
        if number < 3:
            later_ms = LATER_MS if number == 2 else None
            events.add(overlapping_sessions(81).slice(60 + 7 * number, 7), later_ms)
            assert life.read(events.all, 7, later_ms)
            assert switch(self, *args) is False
            return False
        return switch(self, *args)

    monkeypatch.setattr(EpisodeSwitch, "replace_by", commit_then_switch)
    rebuild(settings)
    assert next(attempts) == 4
    assert both(settings) == expected(unaffected, 81)


def test_a_compaction_and_commits_during_the_switch_lose_and_repeat_nothing(
    settings: Settings, unaffected: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operators.compaction.FILES_MIN", 3)
    events = Events(settings, caught_up_ms=0)
    events.add(overlapping_sessions(90).slice(0, 60))
    run_memory(settings, events, 5)
    create, attempts = Storage.create, itertools.count()

    def create_after_others(self: Storage, name: str, data: bytes) -> bool:
        if name.startswith(ENTRY) and b'"Overwrite"' in data and next(attempts) < 2:
            with monkeypatch.context() as original:
                original.setattr(Storage, "create", create)
                before = count_of_rows(settings, "episodes")
                # It takes the version that the switch is about to take.
                if compact(settings).merged == 0:
                    MemoryProcess(settings)
                assert count_of_rows(settings, "episodes") <= before
        return create(self, name, data)

    monkeypatch.setattr(Storage, "create", create_after_others)
    rebuild(settings)
    assert next(attempts) >= 2
    monkeypatch.setattr(Storage, "create", create)
    events.add(overlapping_sessions(90).slice(60), LATER_MS)
    run_memory(settings, events, later_ms=LATER_MS)
    compact(settings)
    assert both(settings) == expected(unaffected, 90)


@pytest.mark.parametrize("restarted", [False, True])
def test_rebuild_accepts_a_switch_whose_reply_was_lost(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, *, restarted: bool
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(60))
    run_memory(settings, events, later_ms=LATER_MS)
    before = both(settings)
    create = Storage.create
    lost: list[str] = []

    def lose_reply(self: Storage, name: str, data: bytes) -> bool:
        created = create(self, name, data)
        if b'"Overwrite"' in data and not lost:
            lost.append(name)
            if restarted:
                # `memory` restarts immediately, so its fence follows the switch.
                MemoryProcess(settings)
            msg = "The reply is lost."
            raise StorageUnavailable(msg)
        return created

    monkeypatch.setattr(Storage, "create", lose_reply)
    report = rebuild(settings)
    assert len(lost) == 1
    assert current_generation(settings) == report.generation == 2
    assert both(settings) == before


def test_rebuild_ends_when_a_reindex_switches_first(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(60))
    run_memory(settings, events, later_ms=LATER_MS)
    before = both(settings)
    with pytest.raises(Terminal, match="has switched the memories"):
        rebuild(settings, after_first_round(lambda: check_reindex(settings)))
    assert both(settings) == before


def check_reindex(settings: Settings) -> None:
    """`reindex` fills a generation of its own, next to that of a rebuild."""
    assert reindex(settings).generation == 3


def test_two_rebuilds_at_the_same_time_make_one_generation(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(60))
    run_memory(settings, events, later_ms=LATER_MS)
    before = both(settings)
    inner: list[int] = []
    report = rebuild(
        settings,
        after_first_round(lambda: inner.append(rebuild(settings).generation)),
    )
    assert both(settings) == before
    assert inner == [report.generation] == [current_generation(settings)]


def test_rebuild_reports_a_memory_flow_that_is_always_ahead(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(20))
    run_memory(settings, events)
    before = both(settings)
    monkeypatch.setattr(event_rounds, "ROUNDS_MAX", 2)
    monkeypatch.setattr(EpisodeSwitch, "replace_by", lambda *_: False)
    with pytest.raises(Terminal, match="faster than"):
        rebuild(settings)
    assert current_generation(settings) == 1
    assert both(settings) == before


def test_rebuild_notices_that_retention_removed_what_it_should_have_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(60))
    run_memory(settings, events)
    original = module.RebuildWorker._writer

    def expire_first(self: Any, found: Any) -> Any:
        events.expire(30)
        return original(self, found)

    monkeypatch.setattr(module.RebuildWorker, "_writer", expire_first)
    with pytest.raises(Terminal, match="Retention removed events"):
        rebuild(settings)
    assert current_generation(settings) == 1
    assert len(memories_by_id(settings)) > 30


@pytest.mark.parametrize(
    "stream", [replace(LOG, topic="other", topic_id="topic-2"), LOG]
)
def test_a_stream_that_was_added_meanwhile_keeps_its_episodes(
    settings: Settings, stream: StreamId
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(60))
    run_memory(settings, events, later_ms=LATER_MS)

    def add_episode() -> None:
        storage = Storage.of(settings)
        EventsTable(storage, stream, (7,))
        (row,) = query_rows(settings, "FROM tables.episodes LIMIT 1")
        origin = {"topic_id": stream.topic_id, "kafka_partition": 7}
        rows = [{**row, "episode_id": "another", **origin}]
        write_deltalake(
            storage.open("episodes"),
            pa.Table.from_pylist(rows, EPISODES),
            mode="append",
        )

    written = itertools.count(1)

    def after_the_last_read(step: str, done: int, total: int) -> None:
        # Episodes are written at the end of each round; the second one switches.
        if (step, done) == ("episodes", 1) and next(written) == 2:
            add_episode()

    with pytest.raises(TopicChanged, match="topic was added"):
        rebuild(settings, after_the_last_read)
    assert "another" in episodes_by_id(settings)
    assert current_generation(settings) == 1
