"""`rebuild` killed at each of its steps, with readers; in a folder and on S3."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.compact import compact
from flows.rebuild import rebuild
from flows.rebuild_parity import verify
from flows.reindex import reindex
from semloop import Lake
from semloop.delta.query import FileQueries
from semloop.delta.snapshot import read_snapshot
from semloop.errors import Terminal
from semloop.settings import Settings
from semloop.storage import store_time
from semloop.storage.location import Storage
from sinks import rebuilt_generation
from sinks.compaction.log_entry import AGE_MAX
from sinks.delta.reindex_positions import ReindexPositions
from sinks.episode_switch import EpisodeSwitch
from sinks.rebuilt_generation import RebuiltGeneration
from sinks.vectors.carried_memories import CarriedMemories
from sinks.vectors.new_generation import NewGeneration
from sinks.vectors.table import VectorTable
from tests.flows.rebuilt_lake import both
from tests.flows.reindex_lake import (
    LATER_MS,
    CountingEmbedder,
    Events,
    current_generation,
    overlapping_sessions,
    run_memory,
    small_poll_settings,
)
from tests.sinks.memory_process import Crash

pytestmark = pytest.mark.slow
STEPS: dict[str, tuple[Any, str]] = {
    "merge": (VectorTable, "merge"),
    "position": (ReindexPositions, "write"),
    "copy": (CarriedMemories, "copy"),
    "maintenance": (RebuiltGeneration, "_maintain"),
    "files": (rebuilt_generation, "write_dated"),
    "switch": (EpisodeSwitch, "replace_by"),
}

# Most of them with `pytest -m storm`: what follows a step is what precedes the next.
DEATHS = [
    *(pytest.param(s, False, id=f"before {s}") for s in ("position", "files")),
    *(
        pytest.param(s, False, id=f"before {s}", marks=pytest.mark.storm)
        for s in ("merge", "copy", "maintenance")
    ),
    pytest.param("switch", False, id="before switch"),
    pytest.param("switch", True, id="after switch"),
    *(
        pytest.param(s, True, id=f"after {s}", marks=pytest.mark.storm)
        for s in STEPS
        if s != "switch"
    ),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_poll_settings(tmp_path / "la ke ü")


@contextmanager
def readers(settings: Settings, expected: int) -> Iterator[None]:
    """Read all the time; at the end, no reader has seen another number of episodes."""
    stop = threading.Event()
    seen: list[set[Any]] = [set(), set(), set()]

    def by_files() -> Any:
        # As other engines do: the log, then the files.
        storage = Storage.of(settings)
        snapshot = read_snapshot(storage, "episodes")
        assert snapshot is not None
        query = "SELECT count(DISTINCT episode_id) AS found FROM rows"
        with closing(FileQueries(storage)) as queries:
            rows = queries.arrow("episodes", snapshot.uris(storage), query)
        return rows["found"][0].as_py()

    def repeat(number: int, read: Any) -> None:
        while not stop.is_set():
            try:
                seen[number].add(read())
            except Exception as error:
                seen[number].add(repr(error))

    with Lake(settings=settings, stale_s=0) as lake:
        query = "SELECT count(*) FROM episodes"
        reads = (
            by_files,
            lambda: lake.sql(query).fetchall()[0][0],
            lambda: lake.recall("text 20", k=3).num_rows,
        )
        threads = [
            threading.Thread(target=repeat, args=each) for each in enumerate(reads)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert seen == [{expected}, {expected}, {3}]


@pytest.mark.parametrize(("step", "completed"), DEATHS)
def test_a_rebuild_that_dies_at_a_step_changes_nothing_and_the_next_one_completes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str, *, completed: bool
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(100))
    run_memory(settings, events, later_ms=LATER_MS)
    events.expire(20)
    expected = both(settings)
    owner, name = STEPS[step]
    original = getattr(owner, name)
    calls = itertools.count()

    def crash(*args: Any) -> Any:
        is_crash = next(calls) == 0
        if is_crash and not completed:
            raise Crash
        result = original(*args)
        if is_crash:
            raise Crash
        return result

    with readers(settings, len(expected[0])):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, crash)
            with pytest.raises(Crash):
                rebuild(settings)
        switched = step == "switch" and completed
        assert current_generation(settings) == (2 if switched else 1)
        assert both(settings) == expected
        compact(settings)
        rebuild(settings)
    assert both(settings) == expected


def test_the_next_run_does_not_embed_again_what_is_stored(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = CountingEmbedder()
    monkeypatch.setattr("flows.rebuild_worker.embedder_of", lambda settings: embedder)
    monkeypatch.setattr(rebuilt_generation, "SAVE_EVERY_S", 0.0)
    events = Events(settings)
    events.add(overlapping_sessions(100))
    run_memory(settings, events, later_ms=LATER_MS)
    expected = both(settings)
    with monkeypatch.context() as patched:
        patched.setattr(RebuiltGeneration, "_maintain", crash_now)
        with pytest.raises(Crash):
            rebuild(settings)
    first = embedder.embedded_texts
    rebuild(settings)
    assert both(settings) == expected
    # Only the texts of episodes, of which there are few.
    assert embedder.embedded_texts - first < first / 2


def crash_now(self: object) -> None:
    raise Crash


def test_rebuild_and_verification_work_on_s3(s3_settings: Settings) -> None:
    settings = s3_settings.replace(
        embedder="hashing", commit_rows=1, fence_check_s=1_000
    )
    events = Events(settings)
    events.add(overlapping_sessions(60))
    run_memory(settings, events, later_ms=LATER_MS)
    events.expire(20)
    expected = both(settings)
    assert verify(settings).agrees
    with readers(settings, len(expected[0])):
        rebuild(settings)
    assert both(settings) == expected
    assert verify(settings).agrees


@pytest.mark.parametrize("flow", [rebuild, reindex])
@pytest.mark.parametrize(
    "limit",
    [
        {"memories_importance_min": {"*": 0.9}},
        {"memories_max": {"*": 5}},
        {"retention": {"memories": 2.0}},
    ],
)
def test_a_resumed_run_has_what_other_limits_have_left_out(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    flow: Callable[[Settings], object],
    limit: dict[str, Any],
) -> None:
    events = Events(settings)
    events.add(overlapping_sessions(60))
    run_memory(settings, events, later_ms=LATER_MS)
    before = both(settings)
    maintain = NewGeneration._maintain

    def maintain_then_crash(self: NewGeneration) -> None:
        maintain(self)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(NewGeneration, "_maintain", maintain_then_crash)
        with pytest.raises(Crash):
            flow(settings.replace(**limit))
    flow(settings)
    assert both(settings) == before


def test_files_that_a_vacuum_may_have_deleted_do_not_become_the_table(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process was suspended for half a day after it had written them."""
    events = Events(settings)
    events.add(overlapping_sessions(40))
    run_memory(settings, events, later_ms=LATER_MS)
    before = both(settings)
    monkeypatch.setattr(store_time, "age", lambda *of: AGE_MAX + timedelta(seconds=1))
    with pytest.raises(Terminal, match="older than 12 hours"):
        rebuild(settings)
    assert both(settings) == before
