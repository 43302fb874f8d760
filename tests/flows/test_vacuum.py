"""The flow `vacuum`: on a folder and on S3, killed, and alongside frozen compactions."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from flows.compact import compact
from flows.vacuum import vacuum
from semloop.errors import LakeError
from semloop.settings import Settings, load
from semloop.storage import store_time
from semloop.storage.listing import stored_files
from semloop.storage.location import Storage
from semloop.tables import LAYOUT_FILE
from sinks.vacuum import Deleted
from tests.flows.compaction_rounds import run_rounds
from tests.sinks.compacting import file_count, rows_in_files, rows_in_lake
from tests.sources.events_table import EventsTable
from tests.support.processes import ROOT, environment

pytestmark = pytest.mark.slow

SEED = 20
COMMITS = 12


@pytest.fixture
def local(storage: Storage) -> Settings:
    return load({}, lake=storage.root)


@pytest.fixture(params=["local", "s3_settings"], ids=["folder", "s3"])
def lake(request: pytest.FixtureRequest) -> Settings:
    """A lake on which every unused file is old enough."""
    found: Settings = request.getfixturevalue(request.param)
    return found.replace(vacuum_hours=0.0)


def written(settings: Settings, commits: int = COMMITS) -> EventsTable:
    """Write some commits of today, which are compacted into one file."""
    table = EventsTable(Storage.of(settings), step=timedelta(seconds=1))
    table.now = store_time.now(table.storage)
    for offset in range(commits):
        table.commit((0, offset))
    compact(settings)
    return table


def files(settings: Settings, table: str = "events") -> list[str]:
    found = stored_files(Storage.of(settings), table)
    return [file.name for file in found if "_delta_log" not in file.name]


def all_rows(commits: int = COMMITS) -> list[tuple[int, int]]:
    return [(0, offset) for offset in range(commits)]


def test_replaced_files_are_deleted(lake: Settings) -> None:
    table = written(lake)
    before = files(lake)
    found = vacuum(lake, dry_run=True)
    assert files(lake) == before
    # A store may tell whole seconds, so that some of them are as new as the merged one.
    table.commit((0, COMMITS))
    report = vacuum(lake)
    assert 0 <= found.deleted["events"].files <= report.deleted["events"].files
    assert report.failed == set()
    assert report.deleted["events"].files == len(before) - len(files(lake)) + 1
    assert rows_in_lake(table.storage) == all_rows(COMMITS + 1)


def test_nothing_is_deleted_for_a_day(local: Settings) -> None:
    written(local)
    before = files(local)
    assert set(vacuum(local).deleted.values()) == {Deleted()}
    assert files(local) == before


def test_a_table_that_cannot_be_read_does_not_stop_the_others(lake: Settings) -> None:
    written(lake)
    storage = Storage.of(lake)
    storage.replace("dead_letters/_delta_log/00000000000000000000.json", b"{")
    report = vacuum(lake.replace(storage_retry_s=0.1))
    assert report.failed == {"dead_letters"}
    assert {"events", "streams"} <= report.deleted.keys()


def test_the_lake_of_a_newer_layout_is_left_alone(lake: Settings) -> None:
    written(lake)
    before = files(lake)
    Storage.of(lake).replace(LAYOUT_FILE, b'{"layout": 99}')
    with pytest.raises(LakeError, match="layout 99"):
        vacuum(lake)
    assert files(lake) == before


def test_an_empty_lake_has_nothing_to_delete(local: Settings) -> None:
    assert set(vacuum(local).deleted.values()) == {Deleted()}


KILLED = """
import os, signal, sys
from pathlib import Path
from flows.vacuum import vacuum
from semloop.settings import load
left, unlink = iter(range(int(sys.argv[1]))), Path.unlink
def dying(path, *args):
    if path.suffix == ".parquet" and next(left, "end") == "end":
        os.kill(os.getpid(), signal.SIGKILL)
    unlink(path, *args)
Path.unlink = dying
vacuum(load().replace(vacuum_hours=0.0))
"""


@pytest.mark.process
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.storm)])
def test_the_run_after_a_kill_finishes(local: Settings, kills: int) -> None:
    written(local, commits=COMMITS * kills)
    for number in range(kills):
        command = [sys.executable, "-c", KILLED, str(number % 3)]
        env = environment(local, SEMLOOP_LOG_LEVEL="error")
        done = subprocess.run(command, env=env, cwd=ROOT, timeout=120)
        assert done.returncode == -9
        assert rows_in_files(Storage.of(local)) == all_rows(COMMITS * kills)
    assert vacuum(local.replace(vacuum_hours=0.0)).deleted["events"].files > 0
    assert len(files(local)) == file_count(Storage.of(local))
    assert rows_in_lake(Storage.of(local)) == all_rows(COMMITS * kills)


@pytest.mark.process
def test_several_workers_share_the_tables(local: Settings) -> None:
    written(local)
    left = []
    for name in (files(local)[0], files(local, "streams")[0]):
        path = Path(local.lake, name).with_name("part-left.zstd.parquet")
        path.write_bytes(b"left")
        os.utime(path, (1e9, 1e9))
        left.append(path)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bytewax.run", "flows.vacuum:flow", "-w", "2"],
        env=environment(local) | {"SEMLOOP_METRICS_PORT": "0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not any(path.exists() for path in left)


class OldMerges:
    """Vacuums while a maintainer is frozen, as if that had lasted for a day.

    Files of merges that no version has become old. Those that are replaced stay for the
    readers, since the log says when they were.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.deleted = 0

    def __call__(self) -> None:
        storage = Storage.of(self._settings)
        active = set(storage.open("events").file_uris())
        for path in self._merged():
            if str(path) not in active:
                os.utime(path, (1e9, 1e9))
        self.deleted += vacuum(self._settings).deleted["events"].files

    def _merged(self) -> Iterator[Path]:
        return Path(self._settings.lake, "events").glob("date=*/compacted-*")


@pytest.mark.process
@pytest.mark.parametrize("rounds", [1, pytest.param(100, marks=pytest.mark.storm)])
@pytest.mark.timeout(1_800)
def test_compactions_that_are_frozen_for_a_day_alongside_a_writer_and_readers(
    local: Settings, rounds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    old = OldMerges(local)
    seen = run_rounds(local, rounds, SEED, meanwhile=old)
    with capsys.disabled():
        sys.stdout.write(f"\n{seen}, {old.deleted} files deleted\n")
