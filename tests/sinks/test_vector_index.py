"""Upkeep of the table of memories, beside its writer; folder and the run's S3 server."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from semloop.errors import SemLoopError, StorageUnavailable
from semloop.lake import generations
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.vectors import maintenance
from sinks.vectors.maintenance import SCALARS, Report, drop_older_generations, maintain
from tests.processes import ROOT, environment
from tests.sinks.memory_builder import memory_rows, search_texts, stored, vector_table
from tests.sinks.sink_contract import full_disk


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest) -> Storage:
    named = "settings" if request.param == "folder" else "s3_settings"
    return Storage.of(request.getfixturevalue(named))


@pytest.fixture
def folder(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "la ke ü"))


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "ROWS_WITHOUT_INDEX", 300)
    # Whatever is new is due.
    monkeypatch.setattr(maintenance, "UNINDEXED_MAX", 1)
    monkeypatch.setattr(maintenance, "UNINDEXED_SHARE_MAX", 0.0)


def keep(storage: Storage, retry_s: float = maintenance.RETRY_S) -> Report:
    """Maintain a table that is there."""
    report = maintain(storage, 1, retry_s=retry_s)
    assert report is not None
    return report


def test_a_table_that_is_not_there_is_not_made(folder: Storage) -> None:
    assert maintain(folder, 1) is None
    assert maintain(folder, 1) is None


def test_files_are_put_together_and_new_rows_indexed(storage: Storage) -> None:
    table = vector_table(storage)
    for start in range(0, 60, 10):
        table.merge(memory_rows(range(start, start + 10)))
    before = stored(storage)
    steps: list[tuple[str, int, int]] = []
    report = maintain(storage, 1, lambda *step: steps.append(step))
    assert report == Report(60, 1, 0, tuple(SCALARS), indexed=False)
    assert stored(storage) == before
    assert steps[0] == ("vectors", 0, len(steps) - 1)
    assert steps[-1] == ("done", len(steps) - 1, len(steps) - 1)
    table.merge(memory_rows([99], search_text="anna: flights"))
    assert search_texts(storage, "flight") == ["number 99"]  # before upkeep knows it
    report = keep(storage)
    assert (report.rows, report.unindexed, report.made) == (61, 0, ())
    assert search_texts(storage, "flight") == ["number 99"]


def test_vectors_are_indexed_as_their_number_asks_for(folder: Storage) -> None:
    table = vector_table(folder)

    def kept(start: int, end: int) -> tuple[bool, bool]:
        table.merge(memory_rows(range(start, end)))
        report = keep(folder)
        return "vector" in report.made, report.indexed

    assert kept(0, 299) == (False, False)
    assert kept(299, 300) == (True, True)
    assert kept(300, 301) == (False, True)
    assert kept(301, 500) == (False, True)
    # More than the half is new.
    assert kept(500, 1_001) == (True, True)
    found = generations.open_table(generations.connect(folder), 1)
    assert found is not None
    vector = found.search().limit(1).to_arrow()["vector"][0].as_py()
    statistics = found.index_stats("vector_idx")
    assert statistics is not None
    assert statistics.distance_type == "dot"
    assert statistics.num_unindexed_rows == 0
    nearest = found.search(vector).limit(1).to_arrow()
    assert nearest["vector"].to_pylist() == [vector]


def test_a_writer_goes_on_while_the_table_is_maintained(storage: Storage) -> None:
    table, ended = vector_table(storage), threading.Event()
    starts: list[int] = []

    def write() -> None:
        while not ended.is_set() or len(starts) < 40:
            # Every fifth of them is a replay.
            start = 10 * len(starts) - (10 if len(starts) % 5 == 4 else 0)
            table.merge(memory_rows(range(start, start + 10), writer=2))
            starts.append(start)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            for _ in range(3):
                keep(storage)
        finally:
            ended.set()
        writing.result()
    numbers = {number for start in starts for number in range(start, start + 10)}
    assert stored(storage) == [(number, 2) for number in sorted(numbers)]
    last = keep(storage)
    assert (last.rows, last.unindexed) == (len(numbers), 0)


def test_two_at_once_leave_a_whole_table(folder: Storage) -> None:
    table = vector_table(folder)
    for start in range(0, 400, 20):
        table.merge(memory_rows(range(start, start + 20)))

    def kept(_: int) -> str | None:
        try:
            keep(folder, 5)
        except StorageUnavailable as error:
            return str(error)
        return None

    with ThreadPoolExecutor(2) as pool:
        failed = [error for error in pool.map(kept, range(2)) if error]
    assert len(failed) < 2, failed
    assert all(error.startswith("Cannot maintain table memories (") for error in failed)
    assert stored(folder) == [(n, 1) for n in range(400)]
    report = keep(folder)
    assert (report.fragments, report.unindexed) == (1, 0)
    assert search_texts(folder, "399") == ["number 399"]


def files(storage: Storage) -> set[str]:
    """All files of the table, versions among them."""
    folder = Path(storage.uri("memories"))
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def test_upkeep_right_after_upkeep_writes_nothing(folder: Storage) -> None:
    table = vector_table(folder)
    for start in range(0, 400, 100):
        table.merge(memory_rows(range(start, start + 100)))
    first = keep(folder)
    before = files(folder)
    assert keep(folder) == dataclasses.replace(first, made=())
    assert files(folder) == before


@pytest.mark.parametrize(
    ("rows_max", "share_max", "fragments_max", "due"),
    [
        (21, 0.0, 100, False), (20, 0.0, 100, True), (0, 0.21, 100, False),
        (0, 0.19, 100, True), (21, 0.0, 4, False), (21, 0.0, 3, True),
    ],
)  # fmt: skip
def test_a_few_new_rows_do_not_rewrite_the_table(
    folder: Storage,
    monkeypatch: pytest.MonkeyPatch,
    rows_max: int,
    share_max: float,
    fragments_max: int,
    *,
    due: bool,
) -> None:
    table = vector_table(folder)
    table.merge(memory_rows(range(80)))
    keep(folder)
    monkeypatch.setattr(maintenance, "UNINDEXED_MAX", rows_max)
    monkeypatch.setattr(maintenance, "UNINDEXED_SHARE_MAX", share_max)
    monkeypatch.setattr(maintenance, "FRAGMENTS_MAX", fragments_max)
    for start in (80, 90):
        table.merge(memory_rows(range(start, start + 10)))
    before = files(folder)
    report = keep(folder)
    # Rows that were not indexed are not put to those that were.
    assert (report.fragments, report.unindexed) == ((2, 0) if due else (3, 20))
    assert (files(folder) == before) is not due
    # A search knows them all the same.
    assert search_texts(folder, "99") == ["number 99"]


def test_older_tables_are_dropped_and_no_others(storage: Storage) -> None:
    for generation in (1, 3, 4, 5):
        vector_table(storage, generation=generation)
    drop_older_generations(storage, 4)
    connection = generations.connect(storage)
    found = [
        n for n in range(1, 7) if generations.open_table(connection, n) is not None
    ]
    assert found == [4, 5]
    drop_older_generations(storage, 4)


KEEPER = """
import sys
from semloop.settings import load
from semloop.storage.location import Storage
from sinks import vector_index
vector_index.ROWS_WITHOUT_INDEX = 300
def told(step, done, total):
    print(step, flush=True)
    if step == sys.argv[1]:
        print("here", flush=True)
vector_index.maintain(Storage.of(load()), 1, told)
"""


@pytest.mark.parametrize("step", ["vectors", "files", "namespace"])
def test_upkeep_that_is_killed_loses_nothing_and_is_done_by_the_next(
    settings: Settings, step: str
) -> None:
    storage = Storage.of(settings)
    table = vector_table(storage)
    for start in range(0, 400, 20):
        table.merge(memory_rows(range(start, start + 20)))
    process = subprocess.Popen(
        [sys.executable, "-c", KEEPER, step],
        env=environment(settings), cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    while process.stdout.readline() not in {"here\n", ""}:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert stored(storage) == [(n, 1) for n in range(400)]
    table.merge(memory_rows(range(400, 420)))
    report = keep(storage)
    # Rows that no index knew are not put to those that one knew.
    assert (report.rows, report.fragments <= 2, report.unindexed) == (420, True, 0)
    assert report.indexed
    assert search_texts(storage, "419") == ["number 419"]


def test_a_full_disk_is_told_by_the_step(folder: Storage) -> None:
    vector_table(folder).merge(memory_rows(range(200)))
    with full_disk(2_000), pytest.raises(SemLoopError) as told:
        keep(folder, 0.1)
    what = f"Cannot maintain table memories (files) in {folder.root}: File too large"
    assert told.value.what == f"{what} (tried for 0.1 s)"
    assert keep(folder).unindexed == 0


def test_old_versions_are_dropped_and_young_ones_kept(
    folder: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = vector_table(folder)
    for number in range(5):
        table.merge(memory_rows([number]))
    versions = Path(folder.uri("memories"), "generation-1.lance", "_versions")
    keep(folder)
    assert len(list(versions.glob("*.manifest"))) > 5
    monkeypatch.setattr(maintenance, "VERSION_RETENTION", timedelta(milliseconds=1))
    keep(folder)
    assert len(list(versions.glob("*.manifest"))) < 3
    assert stored(folder) == [(n, 1) for n in range(5)]
