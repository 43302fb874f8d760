"""`reindex` builds the same memories as the flow `memory`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flows.index import index
from flows.reindex import reindex
from semloop.errors import LakeError, MemoriesSwitched
from semloop.lake import generations
from semloop.settings import Settings, load
from sinks.delta.fenced_table import FencedTable
from sinks.vectors.new_generation import Report
from tests.flows.flow_runner import run_archive, running_flow
from tests.flows.memory_audit import (
    memory_differences,
    produce_sessions,
    run_memory_flow,
)
from tests.flows.reindex_lake import (
    LATER_MS,
    CountingEmbedder,
    Events,
    current_generation,
    memories_by_id,
    overlapping_sessions,
    run_memory,
    small_poll_settings,
)
from tests.operators.event_rows import event_row, events_table
from tests.sinks.memory_process import (
    HASHING,
    Crash,
    MemoryProcess,
    lake_settings,
    raise_crash,
    visible_memories,
)
from tests.support.lakes import a_topic
from tests.support.services import Broker

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_poll_settings(tmp_path / "la ke ü")


def test_reindex_makes_the_same_ids_texts_and_positions_as_memory(
    settings: Settings,
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(120))
    run_memory(settings, events)
    before, visible = memories_by_id(settings), visible_memories(settings)
    assert {row["kind"] for row in before.values()} == {"event", "episode"}
    assert max(row["part"] for row in before.values()) > 0
    report = reindex(settings)
    assert report == Report(2, HASHING.model_id, len(before), 0)
    assert current_generation(settings) == 2
    assert memories_by_id(settings) == before
    assert visible_memories(settings) == visible


@pytest.mark.parametrize("reindex_last", [False, True])
def test_open_episodes_continue_unchanged_after_a_reindex(
    settings: Settings, tmp_path: Path, *, reindex_last: bool
) -> None:
    unaffected = lake_settings(tmp_path / "unaffected")
    all_events = Events(unaffected)
    all_events.add(overlapping_sessions(90))
    run_memory(unaffected, all_events, later_ms=LATER_MS)
    events = Events(settings)
    for part in range(3):
        events.add(overlapping_sessions(90).slice(part * 30, 30))
        run_memory(settings, events, later_ms=LATER_MS if part == 2 else None)
        if part < 2 or reindex_last:
            reindex(settings)
    assert memories_by_id(settings) == memories_by_id(unaffected)
    assert visible_memories(settings) == visible_memories(unaffected)


def test_reindex_of_feedback_alone_makes_no_memories(settings: Settings) -> None:
    events = Events(settings)
    events.add(events_table(event_row("feedback"), event_row("feedback")))
    run_memory(settings, events)
    assert reindex(settings).memories == 0
    assert current_generation(settings) == 2


def test_reindex_makes_no_memories_of_expired_events(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(90))
    run_memory(settings, events)
    before = memories_by_id(settings)
    events.expire(39)
    reindex(settings)
    after = memories_by_id(settings)
    expired = {
        key
        for key, row in before.items()
        if row["kind"] == "event" and row["kafka_offset"] <= 39
    }
    assert set(after) == set(before) - expired
    assert all(after[key]["text"] == before[key]["text"] for key in after)


def test_reindex_applies_a_changed_memory_policy_to_all_memories(
    settings: Settings, every_position_stored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(80))
    run_memory(settings, events)
    before = memories_by_id(settings)
    with monkeypatch.context() as patched:
        patched.setattr(FencedTable, "take", lambda *_: raise_crash())
        with pytest.raises(Crash):
            reindex(settings)
    messages_only = settings.replace(memory_kinds=("message",))
    report = reindex(messages_only)
    expected = {key: row for key, row in before.items() if row["type"] == "message"}
    assert memories_by_id(settings) == expected
    assert (report.generation, report.memories) == (3, len(expected))
    assert report.skipped > 0
    # Positions in episodes do not depend on the policy.
    important = settings.replace(memory_importance_min=0.5)
    reindex(important)
    selected = memories_by_id(settings)
    assert 0 < len(selected) < len(before)
    assert selected == {key: before[key] for key in selected}


def test_reindex_with_another_model_fills_a_table_with_its_dimension(
    settings: Settings, embedder: CountingEmbedder
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(40))
    life = run_memory(settings, events)
    before = memories_by_id(settings)
    embedder.model_id, embedder.dimension = "other/100", 100
    assert reindex(settings).model == "other/100"
    with pytest.raises(LakeError, match="maintain reindex"):
        MemoryProcess(settings)
    more = events.add(overlapping_sessions(5, first=40))
    with pytest.raises(MemoriesSwitched):
        life.read(more, 5, None)
    after = memories_by_id(settings)
    assert {len(row["vector"]) for row in after.values()} == {100}

    def texts(rows: Mapping[bytes, Mapping[str, Any]]) -> dict[bytes, tuple[Any, ...]]:
        names = ("text", "search_text", "part", "episode_id", "seq")
        return {key: tuple(row[n] for n in names) for key, row in rows.items()}

    assert texts(after) == texts(before)


def test_index_removes_the_tables_that_reindex_replaced(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(40))
    run_memory(settings, events)
    for _ in range(2):
        reindex(settings)
    assert index(settings).rows == len(memories_by_id(settings))
    folder = Path(settings.lake, generations.FOLDER)
    assert [path.name for path in folder.iterdir()] == ["generation-3.lance"]


def test_reindex_restores_deleted_memories(settings: Settings) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(60))
    run_memory(settings, events)
    expected = memories_by_id(settings)
    folder = Path(settings.lake, generations.FOLDER)
    folder.rename(folder.with_name("gone"))
    reindex(settings)
    assert memories_by_id(settings) == expected


def test_reindex_includes_the_topics_that_are_not_in_its_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All topics share one generation, so the settings may name another topic."""
    events = Events(settings)
    events.add(overlapping_sessions(30))
    life = run_memory(settings, events)
    expected = memories_by_id(settings)
    other = settings.replace(topic="another")
    assert reindex(other).memories == len(expected)
    assert memories_by_id(settings) == expected
    more = events.add(overlapping_sessions(5, first=30))
    with pytest.raises(MemoriesSwitched):
        life.read(more, 5, None)


def test_reindex_and_index_work_on_s3(s3_settings: Settings) -> None:
    settings = s3_settings.replace(
        embedder="hashing", commit_rows=1, fence_check_s=1_000
    )
    events = Events(settings)
    events.add(overlapping_sessions(40))
    run_memory(settings, events)
    expected = memories_by_id(settings)
    reindex(settings)
    assert memories_by_id(settings) == expected
    assert index(settings).rows == len(expected)


def test_running_memory_exits_after_a_reindex_and_then_uses_the_new_generation(
    settings: Settings, broker: Broker
) -> None:
    settings = load(
        {}, lake=settings.lake, kafka=broker.address, topic=a_topic()
    ).replace(embedder="hashing")
    produce_sessions(settings, 200)
    run_archive(settings)
    with running_flow(settings, flow="memory", SEMLOOP_FENCE_CHECK_S="0.3") as flow:
        flow.wait_until_logged("committed")
        assert reindex(settings).generation == 2
        code, messages = flow.wait_for_exit()
    assert (code, len(messages)) == (4, 2)
    assert (
        messages[0] == "`semloop maintain` has made a new generation of the memories."
    )
    produce_sessions(settings, 100, first=10_000)
    run_archive(settings)
    run_memory_flow(settings)
    assert memory_differences(settings) == {}
    assert current_generation(settings) == 2


def test_reindex_reports_a_lake_without_episodes(settings: Settings) -> None:
    with pytest.raises(LakeError, match="has no episodes yet"):
        reindex(settings)
    Events(settings)
    with pytest.raises(LakeError, match="has no episodes yet"):
        reindex(settings)
    assert not Path(settings.lake, generations.FOLDER).exists()
