"""Maintenance of the memory table, on a folder and on the test run's S3 server."""

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
from tests.sinks.memory_builder import memory_rows, search_texts, stored, vector_table
from tests.sinks.sink_contract import full_disk
from tests.support.processes import ROOT, environment

pytestmark = pytest.mark.slow


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
    # A single new row makes compaction due.
    monkeypatch.setattr(maintenance, "UNINDEXED_MAX", 1)
    monkeypatch.setattr(maintenance, "UNINDEXED_SHARE_MAX", 0.0)


def run_maintenance(storage: Storage, retry_s: float = maintenance.RETRY_S) -> Report:
    """Maintain a table that exists."""
    report = maintain(storage, 1, retry_s=retry_s)
    assert report is not None
    return report


def test_maintenance_does_not_create_a_missing_table(folder: Storage) -> None:
    assert maintain(folder, 1) is None
    assert maintain(folder, 1) is None


def test_files_are_compacted_and_new_rows_indexed(storage: Storage) -> None:
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
    table.merge(memory_rows([99], words="anna flight"))
    assert search_texts(storage, "flight") == ["number 99"]  # Not indexed yet.
    report = run_maintenance(storage)
    assert (report.rows, report.unindexed, report.made) == (61, 0, ())
    assert search_texts(storage, "flight") == ["number 99"]


def test_the_vector_index_depends_on_the_number_of_rows(
    folder: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = vector_table(folder)

    def kept(start: int, end: int) -> tuple[bool, bool]:
        table.merge(memory_rows(range(start, end)))
        report = run_maintenance(folder)
        return "vector" in report.made, report.indexed

    assert kept(0, 299) == (False, False)
    assert kept(299, 300) == (True, True)
    assert kept(300, 301) == (False, True)
    assert kept(301, 500) == (False, True)
    # More than half of the rows are new.
    assert kept(500, 1_001) == (True, True)
    assert kept(1_001, 1_002) == (False, True)
    # Each run adds a segment to it.
    monkeypatch.setattr(maintenance, "SEGMENTS_MAX", 2)
    assert kept(1_002, 1_003) == (True, True)
    found = generations.open_table(generations.connect(folder), 1)
    assert found is not None
    vector = found.search().limit(1).to_arrow()["vector"][0].as_py()
    statistics = found.index_stats("vector_idx")
    assert statistics is not None
    assert statistics.distance_type == "dot"
    assert statistics.num_unindexed_rows == 0
    nearest = found.search(vector).limit(1).to_arrow()
    assert nearest["vector"].to_pylist() == [vector]


def test_a_writer_continues_during_maintenance(storage: Storage) -> None:
    table, ended = vector_table(storage), threading.Event()
    starts: list[int] = []

    def write() -> None:
        while not ended.is_set() or len(starts) < 40:
            # Every fifth merge repeats the previous rows.
            start = 10 * len(starts) - (10 if len(starts) % 5 == 4 else 0)
            table.merge(memory_rows(range(start, start + 10), writer=2))
            starts.append(start)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            for _ in range(3):
                run_maintenance(storage)
        finally:
            ended.set()
        writing.result()
    numbers = {number for start in starts for number in range(start, start + 10)}
    assert stored(storage) == [(number, 2) for number in sorted(numbers)]
    last = run_maintenance(storage)
    assert (last.rows, last.unindexed) == (len(numbers), 0)


def test_concurrent_maintenance_loses_no_rows(folder: Storage) -> None:
    table = vector_table(folder)
    for start in range(0, 400, 20):
        table.merge(memory_rows(range(start, start + 20)))

    def run(_: int) -> str | None:
        try:
            run_maintenance(folder, 5)
        except StorageUnavailable as error:
            return str(error)
        return None

    with ThreadPoolExecutor(2) as pool:
        failed = [error for error in pool.map(run, range(2)) if error]
    assert len(failed) < 2, failed
    assert all(error.startswith("Cannot maintain table memories (") for error in failed)
    assert stored(folder) == [(n, 1) for n in range(400)]
    report = run_maintenance(folder)
    assert (report.fragments, report.unindexed) == (1, 0)
    assert search_texts(folder, "399") == ["number 399"]


def files(storage: Storage) -> set[str]:
    """Return all files of the table, including its versions."""
    folder = Path(storage.uri("memories"))
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def test_maintenance_right_after_maintenance_writes_nothing(folder: Storage) -> None:
    table = vector_table(folder)
    for start in range(0, 400, 100):
        table.merge(memory_rows(range(start, start + 100)))
    first = run_maintenance(folder)
    before = files(folder)
    assert run_maintenance(folder) == dataclasses.replace(first, made=())
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
    run_maintenance(folder)
    monkeypatch.setattr(maintenance, "UNINDEXED_MAX", rows_max)
    monkeypatch.setattr(maintenance, "UNINDEXED_SHARE_MAX", share_max)
    monkeypatch.setattr(maintenance, "FRAGMENTS_MAX", fragments_max)
    for start in (80, 90):
        table.merge(memory_rows(range(start, start + 10)))
    before = files(folder)
    report = run_maintenance(folder)
    # Files of unindexed and of indexed rows are not merged.
    assert (report.fragments, report.unindexed) == ((2, 0) if due else (3, 20))
    assert (files(folder) == before) is not due
    # Search finds unindexed rows too.
    assert search_texts(folder, "99") == ["number 99"]


def test_drop_older_generations_drops_no_others(storage: Storage) -> None:
    for generation in (1, 3, 4, 5):
        vector_table(storage, generation=generation)
    drop_older_generations(storage, 4)
    connection = generations.connect(storage)
    found = [
        n for n in range(1, 7) if generations.open_table(connection, n) is not None
    ]
    assert found == [4, 5]
    drop_older_generations(storage, 4)


MAINTENANCE_SCRIPT = """
import sys
from semloop.command.lancedb_import_shim import import_less_of_lancedb
import_less_of_lancedb()
from semloop.settings import load
from semloop.storage.location import Storage
from sinks.vectors import maintenance
maintenance.ROWS_WITHOUT_INDEX = 300
def progress(step, done, total):
    print(step, flush=True)
    if step == sys.argv[1]:
        print("here", flush=True)
maintenance.maintain(Storage.of(load()), 1, progress)
"""


@pytest.mark.parametrize(
    "step",
    [pytest.param("vectors", marks=pytest.mark.storm), "files", "namespace"],
)
def test_killed_maintenance_loses_no_rows_and_the_next_run_completes_it(
    settings: Settings, step: str
) -> None:
    storage = Storage.of(settings)
    table = vector_table(storage)
    for start in range(0, 400, 20):
        table.merge(memory_rows(range(start, start + 20)))
    process = subprocess.Popen(
        [sys.executable, "-c", MAINTENANCE_SCRIPT, step],
        env=environment(settings), cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert "here\n" in iter(process.stdout.readline, "")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert stored(storage) == [(n, 1) for n in range(400)]
    table.merge(memory_rows(range(400, 420)))
    report = run_maintenance(storage)
    # Files of unindexed and of indexed rows are not merged.
    assert (report.rows, report.fragments <= 2, report.unindexed) == (420, True, 0)
    assert report.indexed
    assert search_texts(storage, "419") == ["number 419"]


def test_a_full_disk_is_reported_with_the_step(folder: Storage) -> None:
    vector_table(folder).merge(memory_rows(range(200)))
    with full_disk(2_000), pytest.raises(SemLoopError) as error:
        run_maintenance(folder, 0.1)
    what = f"Cannot maintain table memories (files) in {folder.root}: File too large"
    assert error.value.what == f"{what} (tried for 0.1 s)"
    assert run_maintenance(folder).unindexed == 0


def test_old_versions_are_dropped_and_recent_ones_kept(
    folder: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = vector_table(folder)
    for number in range(5):
        table.merge(memory_rows([number]))
    versions = Path(folder.uri("memories"), "generation-1.lance", "_versions")
    run_maintenance(folder)
    assert len(list(versions.glob("*.manifest"))) > 5
    monkeypatch.setattr(maintenance, "VERSION_RETENTION", timedelta(milliseconds=1))
    monkeypatch.setattr(maintenance, "VERSION_AGE_MAX", timedelta(0))
    run_maintenance(folder)
    assert len(list(versions.glob("*.manifest"))) < 3
    assert stored(folder) == [(n, 1) for n in range(5)]
