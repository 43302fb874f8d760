"""The memories in memory follow the table while it is written, compacted, replaced."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from semloop.lake import generations
from semloop.lake.recall.engine import RecallEngine
from semloop.lake.recall.resident import follower, reading
from semloop.lake.recall.resident.follower import RECALLS_BEFORE
from semloop.settings import Settings
from sinks.vectors import maintenance
from tests.semloop.recall.a_memory_lake import (
    MemoryLake,
    a_memory_lake,
    a_message,
    texts,
)
from tests.semloop.recall.two_engines import TwoEngines, ask, two_engines

pytestmark = pytest.mark.slow

TRIPS = [a_message(f"trip {n}", f"e{n}") for n in range(40)]


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "PAUSE", 0)


@pytest.fixture
def lake(tmp_path: Path) -> MemoryLake:
    return a_memory_lake(tmp_path, *TRIPS)


def test_a_new_memory_is_found_and_the_others_are_not_read_again(
    lake: MemoryLake,
) -> None:
    with two_engines(lake.settings) as engines:
        before = engines.in_memory()
        for n in range(12):
            lake.remember(a_message(f"flight {n}", f"f{n}"))
            lake.commit()
            assert f"flight {n}" in texts(engines.same(f"flight {n}"))
        after = engines.in_memory()
    assert before is not None
    assert after is not None
    assert after.segments[0] is before.segments[0]
    assert len(after) == 52
    assert len(after.segments) <= 4


def test_a_memory_that_is_not_committed_is_not_shown(lake: MemoryLake) -> None:
    with two_engines(lake.settings) as engines:
        lake.remember(a_message("a secret flight", "f"))
        assert "a secret flight" not in texts(engines.same("a secret flight"))
        lake.commit()
        assert "a secret flight" in texts(engines.same("a secret flight"))


def test_a_replaced_memory_is_not_found_any_more(lake: MemoryLake) -> None:
    with two_engines(lake.settings) as engines:
        before = engines.in_memory()
        for text in ("trip by train", "trip by boat"):
            lake.replace(a_message(text, "e7", kafka_offset=7))
            assert text in texts(engines.same(text))
        assert "trip 7" not in texts(engines.same("trip 7", k=50))
        assert "trip by train" not in texts(engines.same("trip by train", k=50))
        after = engines.in_memory()
    assert before is not None
    assert after is not None
    assert len(after) == len(before)
    assert after.segments[0].vectors is before.segments[0].vectors


def test_a_memory_that_is_stored_twice_is_found(lake: MemoryLake) -> None:
    twice = lake.table.search().where("text = 'trip 7'").to_arrow()
    lake.table.add(twice)
    with two_engines(lake.settings) as engines:
        assert len(texts(engines.same("trip 7", k=50))) == 40


def test_deleted_memories_are_read_again(lake: MemoryLake) -> None:
    with two_engines(lake.settings) as engines:
        lake.table.delete("text = 'trip 7'")
        assert engines.in_memory() is None
        assert "trip 7" not in texts(ask(engines.resident, "trip 7", k=50))
        engines.read()
        assert "trip 7" not in texts(engines.same("trip 7", k=50))


def test_after_a_compaction_all_are_read_again(lake: MemoryLake) -> None:
    for n in range(5):
        lake.remember(a_message(f"flight {n}", f"f{n}"))
    lake.commit()
    with two_engines(lake.settings) as engines:
        maintenance.maintain(lake.storage, 1)
        lake.table.checkout_latest()
        lake.table.optimize()
        expected = ask(engines.stored, "flight 3")
        assert ask(engines.resident, "flight 3").equals(expected)
        engines.read()
        assert engines.same("flight 3").equals(expected)


def test_many_new_memories_are_read_in_the_background(
    lake: MemoryLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ADDED_MAX", 3)
    with two_engines(lake.settings) as engines:
        lake.remember(*(a_message(f"flight {n}", f"f{n}") for n in range(4)))
        lake.commit()
        assert engines.in_memory() is None
        engines.read()
        assert engines.same("flight 3").num_rows == 10


def test_a_new_generation_replaces_the_memories(lake: MemoryLake) -> None:
    with two_engines(lake.settings) as engines:
        engines.same("trip")
        second = MemoryLake(lake.settings, generation=2)
        second.remember(a_message("a journey"))
        second.commit()
        assert texts(ask(engines.resident, "trip")) == ["a journey"]
        engines.read()
        assert texts(engines.same("trip")) == ["a journey"]


def test_a_table_that_was_dropped_and_created_is_read_again(lake: MemoryLake) -> None:
    with two_engines(lake.settings) as engines:
        generations.connect(lake.storage).drop_table(generations.table_name(1))
        again = MemoryLake(lake.settings)
        again.remember(*(a_message(f"journey {n}", f"e{n}") for n in range(40)))
        again.remember(a_message("journey 40"), a_message("journey 41"))
        again.remember(a_message("journey 42"))
        again.commit()
        engines.read()
        assert "trip 7" not in texts(engines.same("trip 7", k=50))


def size(settings: Settings) -> int:
    """Return the bytes of the memories."""
    with two_engines(settings) as engines:
        memories = engines.in_memory()
        assert memories is not None
        return memories.nbytes


def test_within_a_smaller_bound_hits_are_read_from_storage(
    lake: MemoryLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = size(lake.settings)
    monkeypatch.setattr(follower, "MIB", every - 1)
    with two_engines(lake.settings, mb=1) as engines:
        memories = engines.in_memory()
        assert memories is not None
        assert not memories.segments[0].has_shown
        assert memories.nbytes < every
        assert engines.same("trip 7", k=50).num_rows == 40


def test_memories_beyond_the_bound_are_searched_on_storage(
    lake: MemoryLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "MIB", 1_000)
    with two_engines(lake.settings, mb=1) as engines:
        assert engines.in_memory() is None
        engines.read()
        assert engines.in_memory() is None
        assert ask(engines.resident, "trip 7").equals(ask(engines.stored, "trip 7"))


def test_memories_that_outgrow_the_bound_are_searched_on_storage(
    lake: MemoryLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = size(lake.settings)
    monkeypatch.setattr(follower, "MIB", every + 100)
    with two_engines(lake.settings, mb=1) as engines:
        assert engines.in_memory() is not None
        for n in range(200, 600, 100):
            lake.remember(
                *(a_message(f"trip {n + m}", f"e{n + m}") for m in range(100))
            )
            lake.commit()
            engines.read()
        assert engines.in_memory() is None
        assert ask(engines.resident, "trip 7").equals(ask(engines.stored, "trip 7"))


def test_a_process_that_recalls_once_reads_nothing_ahead(lake: MemoryLake) -> None:
    engines = TwoEngines(lake.settings)
    for _ in range(RECALLS_BEFORE - 1):
        ask(engines.resident, "trip")
        engines.resident.resident.wait()
    # Asking for them counts as a recall.
    assert engines.in_memory() is None
    engines.resident.close()
    engines.stored.close()


def test_answers_in_threads_are_the_same_while_the_table_is_written(
    lake: MemoryLake,
) -> None:
    queries = [f"trip {n}" for n in range(40)]
    stored = RecallEngine(lake.settings.replace(recall_memory_mb=0), 0)
    expected = {
        query: ask(stored, query, session=f"s-e{n}") for n, query in enumerate(queries)
    }
    stored.close()
    begin = threading.Barrier(9)
    with two_engines(lake.settings) as engines, ThreadPoolExecutor(9) as threads:

        def write() -> None:
            begin.wait()
            for n in range(10):
                lake.remember(a_message(f"flight {n}", f"f{n}"))
                if n % 5 == 4:
                    lake.table.optimize()

        def recall(worker: int) -> list[str]:
            begin.wait()
            numbers = [(worker * 5 + n) % 40 for n in range(12)]
            return [
                queries[n]
                for n in numbers
                if not ask(engines.resident, queries[n], session=f"s-e{n}").equals(
                    expected[queries[n]]
                )
            ]

        writing = threads.submit(write)
        wrong = list(threads.map(recall, range(8)))
        writing.result()
    assert wrong == [[]] * 8
