"""Memories made anew are those of live."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flows import reindex_worker as module
from flows.index import index
from flows.reindex import reindex
from semloop.errors import LakeError, MemoriesSwitched
from semloop.lake import generations
from semloop.settings import Settings, load
from sinks.delta.fenced_table import FencedTable
from sinks.vectors.new_generation import Report
from sources.lake import rounds
from tests.conftest import a_topic
from tests.flows.a_flow import a_flow, archived
from tests.flows.a_reindex import (
    LATER_MS,
    Counting,
    Events,
    a_day,
    generation,
    held,
    live,
    small_polls,
)
from tests.flows.remembered import wrong
from tests.flows.test_memory import produced, remembered
from tests.operators.a_stream import a_stream, said
from tests.services import Broker
from tests.sinks.a_memory import HASHING, Crash, Life, a_lake, shown


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_polls(tmp_path / "la ke ü")


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """What `reindex` uses in this test."""
    counting = Counting()
    monkeypatch.setattr(module, "embedder_of", lambda settings: counting)
    return counting


@pytest.fixture
def all_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each poll is noted."""
    monkeypatch.setattr(rounds, "SAVE_EVERY_S", 0.0)


def _crash() -> bool:
    raise Crash


def test_ids_texts_and_places_are_those_of_live(settings: Settings) -> None:
    events = Events(settings)
    events.add(a_day(120))
    live(settings, events)
    before, seen = held(settings), shown(settings)
    assert {row["kind"] for row in before.values()} == {"event", "episode"}
    assert max(row["part"] for row in before.values()) > 0
    report = reindex(settings)
    assert report == Report(2, HASHING.model_id, len(before), 0)
    assert generation(settings) == 2
    assert held(settings) == before
    assert shown(settings) == seen


@pytest.mark.parametrize("again", [False, True])
def test_open_episodes_go_on_as_if_nothing_had_happened(
    settings: Settings, tmp_path: Path, *, again: bool
) -> None:
    calm = a_lake(tmp_path / "calm")
    whole = Events(calm)
    whole.add(a_day(90))
    live(calm, whole, later_ms=LATER_MS)
    events = Events(settings)
    for part in range(3):
        events.add(a_day(90).slice(part * 30, 30))
        live(settings, events, later_ms=LATER_MS if part == 2 else None)
        if part < 2 or again:
            reindex(settings)
    assert held(settings) == held(calm)
    assert shown(settings) == shown(calm)


def test_only_feedback_is_nothing_to_remember(settings: Settings) -> None:
    events = Events(settings)
    events.add(a_stream(said("feedback"), said("feedback")))
    live(settings, events)
    assert reindex(settings).memories == 0
    assert generation(settings) == 2


def test_what_retention_took_is_not_remembered_again(settings: Settings) -> None:
    events = Events(settings)
    events.add(a_day(90))
    live(settings, events)
    before = held(settings)
    events.retain(39)
    reindex(settings)
    after = held(settings)
    gone = {
        key
        for key, row in before.items()
        if row["kind"] == "event" and row["kafka_offset"] <= 39
    }
    assert set(after) == set(before) - gone
    assert all(after[key]["text"] == before[key]["text"] for key in after)


def test_the_policy_of_the_settings_holds_and_is_not_mixed(
    settings: Settings, all_noted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events(settings)
    events.add(a_day(80))
    live(settings, events)
    before = held(settings)
    with monkeypatch.context() as patched:
        patched.setattr(FencedTable, "take", lambda *_: _crash())
        with pytest.raises(Crash):
            reindex(settings)
    choosy = settings.replace(memory_kinds=("message",))
    report = reindex(choosy)
    kept = {key: row for key, row in before.items() if row["type"] == "message"}
    assert held(settings) == kept
    assert (report.generation, report.memories) == (3, len(kept))
    assert report.skipped > 0
    # The places do not depend on what is kept.
    important = settings.replace(memory_importance_min=0.5)
    reindex(important)
    found = held(settings)
    assert 0 < len(found) < len(before)
    assert found == {key: before[key] for key in found}


def test_another_model_gets_a_table_of_its_own(
    settings: Settings, embedder: Counting
) -> None:
    events = Events(settings)
    events.add(a_day(40))
    life = live(settings, events)
    before = held(settings)
    embedder.model_id, embedder.dimension = "other/100", 100
    assert reindex(settings).model == "other/100"
    with pytest.raises(LakeError, match="maintain reindex"):
        Life(settings)
    more = events.add(a_day(5, first=40))
    with pytest.raises(MemoriesSwitched):
        life.read(more, 5, None)
    after = held(settings)
    assert {len(row["vector"]) for row in after.values()} == {100}

    def texts(rows: Mapping[bytes, Mapping[str, Any]]) -> dict[bytes, tuple[Any, ...]]:
        names = ("text", "search_text", "part", "episode_id", "seq")
        return {key: tuple(row[n] for n in names) for key, row in rows.items()}

    assert texts(after) == texts(before)


def test_the_old_table_is_removed_by_upkeep(settings: Settings) -> None:
    events = Events(settings)
    events.add(a_day(40))
    live(settings, events)
    for _ in range(2):
        reindex(settings)
    assert index(settings).rows == len(held(settings))
    folder = Path(settings.lake, generations.FOLDER)
    assert [path.name for path in folder.iterdir()] == ["generation-3.lance"]


def test_memories_that_were_deleted_come_back(settings: Settings) -> None:
    events = Events(settings)
    events.add(a_day(60))
    live(settings, events)
    wanted = held(settings)
    folder = Path(settings.lake, generations.FOLDER)
    folder.rename(folder.with_name("gone"))
    reindex(settings)
    assert held(settings) == wanted


def test_every_topic_of_the_lake_is_remembered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One generation is for all: who asks for it may have another topic's settings."""
    events = Events(settings)
    events.add(a_day(30))
    life = live(settings, events)
    wanted = held(settings)
    other = settings.replace(topic="another")
    assert reindex(other).memories == len(wanted)
    assert held(settings) == wanted
    more = events.add(a_day(5, first=30))
    with pytest.raises(MemoriesSwitched):
        life.read(more, 5, None)


def test_a_lake_on_s3_is_made_anew(s3_settings: Settings) -> None:
    settings = s3_settings.replace(
        embedder="hashing", commit_rows=1, fence_check_s=1_000
    )
    events = Events(settings)
    events.add(a_day(40))
    live(settings, events)
    wanted = held(settings)
    reindex(settings)
    assert held(settings) == wanted
    assert index(settings).rows == len(wanted)


def test_the_running_flow_ends_and_goes_on_with_the_new_ones(
    settings: Settings, broker: Broker
) -> None:
    settings = load(
        {}, lake=settings.lake, kafka=broker.address, topic=a_topic()
    ).replace(embedder="hashing")
    produced(settings, 200)
    archived(settings)
    with a_flow(settings, flow="memory", SEMLOOP_FENCE_CHECK_S="0.3") as flow:
        flow.wait_until_logged("committed")
        assert reindex(settings).generation == 2
        code, said_ = flow.ends()
    assert (code, len(said_)) == (4, 2)
    assert said_[0] == "The memories were made anew by `semloop maintain reindex`."
    produced(settings, 100, first=10_000)
    archived(settings)
    remembered(settings)
    assert wrong(settings) == {}
    assert generation(settings) == 2


def test_a_lake_without_episodes_says_so(settings: Settings) -> None:
    with pytest.raises(LakeError, match="has no episodes yet"):
        reindex(settings)
    Events(settings)
    with pytest.raises(LakeError, match="has no episodes yet"):
        reindex(settings)
    assert not Path(settings.lake, generations.FOLDER).exists()
