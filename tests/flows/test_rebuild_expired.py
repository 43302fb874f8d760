"""`rebuild` and `--verify` on lakes whose oldest events have expired."""

import shutil
from pathlib import Path

import pytest
from deltalake import CommitProperties, Transaction

from flows.rebuild import plan, rebuild
from flows.rebuild_parity import verify
from semloop.delta.streams import EXPIRED, Streams
from semloop.errors import LakeError, MemoriesSwitched
from semloop.lake.lake import Lake
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.flows.rebuilt_lake import both, delete_both, episodes_by_id, files_of
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
    ORIGIN,
    STREAM,
    lake_settings,
    query_rows,
    visible_memories,
)

pytestmark = pytest.mark.slow
LAST_EXPIRED = 39


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_poll_settings(tmp_path / "la ke ü")


@pytest.fixture
def events(settings: Settings) -> Events:
    """A lake of 120 events that `memory` has read, of which 40 have expired."""
    found = Events(settings)
    found.add(overlapping_sessions(120))
    run_memory(settings, found, later_ms=LATER_MS)
    found.expire(LAST_EXPIRED)
    return found


def test_what_begins_before_the_first_held_event_is_carried_over(
    settings: Settings, events: Events
) -> None:
    before, visible = both(settings), visible_memories(settings)
    old = [e for e in before[0].values() if e["first_offset"] <= LAST_EXPIRED]
    # Some of their events are held.
    assert any(episode["kafka_offset"] > LAST_EXPIRED for episode in old)
    found = plan(settings)
    assert (found.held.rows, found.carried, found.lost) == (80, len(old), 0)
    report = rebuild(settings)
    assert both(settings) == before
    assert visible_memories(settings) == visible
    assert (report.events, report.carried) == (80, len(old))
    assert report.carried_memories > LAST_EXPIRED / 2
    # And again: what was carried over once is carried over again.
    assert rebuild(settings).carried == len(old)
    assert both(settings) == before


def test_a_verification_lists_what_it_cannot_compute_and_agrees_on_the_rest(
    settings: Settings, events: Events
) -> None:
    before = episodes_by_id(settings)
    old = {e for e, row in before.items() if row["first_offset"] <= LAST_EXPIRED}
    files = files_of(settings)
    parity = verify(settings)
    assert parity.agrees
    assert set(parity.carried_ids) == old
    assert (parity.carried, parity.compared) == (len(old), len(before) - len(old))
    assert files_of(settings) == files
    rebuild(settings)
    assert verify(settings) == parity


def test_an_open_episode_that_is_carried_over_continues(
    settings: Settings, tmp_path: Path
) -> None:
    unaffected = lake_settings(tmp_path / "unaffected")
    all_events = Events(unaffected)
    all_events.add(overlapping_sessions(120))
    run_memory(unaffected, all_events, later_ms=LATER_MS)
    events = Events(settings, caught_up_ms=0)
    events.add(overlapping_sessions(120).slice(0, 60))
    life = run_memory(settings, events)
    events.expire(58)
    assert any(e["state"] == "open" for e in episodes_by_id(settings).values())
    rebuild(settings)
    rest = events.add(overlapping_sessions(120).slice(60), LATER_MS)
    with pytest.raises(MemoriesSwitched):
        life.read(rest, 9, None)
    run_memory(settings, events, later_ms=LATER_MS)
    assert both(settings) == both(unaffected)
    assert verify(settings).agrees
    rebuild(settings)
    assert both(settings) == both(unaffected)


def test_namespaces_expire_at_different_offsets(settings: Settings) -> None:
    rows = [
        event_row(
            "completion" if number % 10 > 7 else "message",
            f"s-{number % 3}",
            at_s=number * 40.0,
            text=f"text {number}",
            namespace="ab"[number % 2],
        )
        for number in range(80)
    ]
    events = Events(settings)
    events.add(events_table(*rows))
    run_memory(settings, events, later_ms=LATER_MS)
    before = both(settings)
    storage = Storage.of(settings)
    storage.open("events").delete("kafka_offset < 50 AND namespace = 'a'")
    storage.open("events").delete("kafka_offset < 20")
    expired = {"a": 50, "b": 20}
    old = [e for e in before[0].values() if e["first_offset"] < expired[e["namespace"]]]
    parity = verify(settings)
    assert parity.agrees
    assert parity.carried == len(old)
    assert rebuild(settings).carried == len(old)
    assert both(settings) == before


def test_memories_of_events_stay_when_their_episodes_have_expired_too(
    settings: Settings, events: Events
) -> None:
    storage = Storage.of(settings)
    storage.open("episodes").delete(f"kafka_offset <= {LAST_EXPIRED}")
    visible = visible_memories(settings)
    rebuild(settings)
    assert visible_memories(settings) == visible


def test_memories_of_episodes_whose_rows_have_expired_are_still_recalled(
    settings: Settings, events: Events
) -> None:
    # As `retain` leaves it: rows of whole dates go, and the entry has their offset.
    storage = Storage.of(settings)
    gone = f"kafka_offset <= {LAST_EXPIRED}"
    rows = query_rows(settings, f"FROM tables.episodes WHERE {gone}")
    assert any(row["state"] == "closed" for row in rows)
    name = Streams.of(STREAM).app_id("episodes", ORIGIN) + EXPIRED
    storage.open("episodes").delete(
        gone,
        commit_properties=CommitProperties(
            app_transactions=[Transaction(name, LAST_EXPIRED)]
        ),
    )
    old = f"kind = 'episode' AND {gone}"
    query = f"SELECT kafka_offset, text FROM memories WHERE {old} ORDER BY ALL"
    visible, before = visible_memories(settings), query_rows(settings, query)
    assert before
    report = rebuild(settings)
    assert report.generation == current_generation(settings) == 2
    assert query_rows(settings, query) == before
    assert visible_memories(settings) == visible
    with Lake(settings=settings, stale_s=0) as lake:
        found = lake.recall(before[0]["text"], k=100, kind="episode")
    texts = {row["text"] for row in found.to_pylist()}
    assert {row["text"] for row in before} <= texts
    # What the first rebuild has copied, the next one copies too.
    rebuild(settings)
    assert visible_memories(settings) == visible


def test_memories_that_have_expired_themselves_are_not_carried_over(
    settings: Settings, events: Events
) -> None:
    before = episodes_by_id(settings)
    rebuild(settings.replace(retention={"memories": 2.0}))
    assert episodes_by_id(settings) == before
    assert memories_by_id(settings) == {}


def test_a_rebuild_of_deleted_tables_asks_before_it_accepts_a_loss(
    settings: Settings, events: Events
) -> None:
    before = episodes_by_id(settings)
    delete_both(settings)
    files = files_of(settings)
    assert plan(settings).lost == LAST_EXPIRED + 1
    with pytest.raises(LakeError, match=r"^40 offsets .*lost.*\n.*--accept-loss"):
        rebuild(settings)
    assert files_of(settings) == files
    report = rebuild(settings, accept_loss=True)
    assert (report.events, report.carried) == (80, 0)
    after = episodes_by_id(settings)
    whole = {e for e, row in before.items() if row["first_offset"] > LAST_EXPIRED}
    assert {e: after[e] for e in whole} == {e: before[e] for e in whole}
    assert sum(row["events"] for row in after.values()) == sum(
        kind != "feedback" for kind in events.all["type"].to_pylist()[40:]
    )


def test_a_rebuild_without_the_memories_asks_too(
    settings: Settings, events: Events
) -> None:
    before = episodes_by_id(settings)
    shutil.rmtree(Path(settings.lake, "memories"))
    with pytest.raises(LakeError, match=r"memories of .* episodes"):
        rebuild(settings)
    rebuild(settings, accept_loss=True)
    assert episodes_by_id(settings) == before


def test_memories_of_another_model_are_not_carried_over(
    settings: Settings, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = CountingEmbedder("other/100", 100)
    monkeypatch.setattr("flows.rebuild_worker.embedder_of", lambda settings: other)
    with pytest.raises(LakeError, match="another model"):
        rebuild(settings)
    assert current_generation(settings) == 1
