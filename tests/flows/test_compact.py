"""The flow `compact`: alone, twice at a time, and alongside a writer and readers."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from flows.compact import compact
from flows.compaction_due import compaction_is_due
from schemas.arrow import EVENTS
from semloop.errors import LakeError
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from semloop.tables import LAYOUT_FILE
from tests.flows.compaction_rounds import run_rounds
from tests.sinks.compacting import file_count, rows_in_files, rows_in_lake
from tests.sources.events_table import EventsTable
from tests.support.builders import keyed
from tests.support.processes import ROOT, environment

pytestmark = pytest.mark.slow

SEED = 20
# Of a process that compacts; docs/operating.md says it.
MEMORY_MIB_MAX = 600


@pytest.fixture
def local(storage: Storage) -> Settings:
    return load({}, lake=storage.root)


@pytest.fixture(params=["local", "s3_settings"], ids=["folder", "s3"])
def lake(request: pytest.FixtureRequest) -> Settings:
    found: Settings = request.getfixturevalue(request.param)
    return found


def written(storage: Storage, days: int, commits: int) -> EventsTable:
    """Write some commits on each of the last days; the last one is today."""
    table = EventsTable(storage, step=timedelta(seconds=1))
    today = datetime.now(UTC).replace(hour=0, minute=0)
    for day in range(days):
        table.now = today - timedelta(days=days - 1 - day)
        for number in range(commits):
            table.commit((0, commits * day + number))
    return table


def test_dates_that_are_over_become_one_file_each(lake: Settings) -> None:
    storage = Storage.of(lake)
    written(storage, days=3, commits=4)
    report = compact(lake)
    assert (report.replaced, report.merged, report.lost) == ({"events": 8}, 2, 0)
    # Four files of today are too few.
    assert file_count(storage) == 6
    assert rows_in_lake(storage) == [(0, offset) for offset in range(12)]
    assert compact(lake).merged == 0


def test_few_files_of_today_are_left(local: Settings) -> None:
    storage = Storage.of(local)
    table = written(storage, days=1, commits=25)
    assert compact(local).replaced == {"events": 25}
    assert file_count(storage) == 1
    table.commit((0, 25))
    assert compact(local).merged == 0
    assert rows_in_files(storage) == [(0, offset) for offset in range(26)]


def test_a_merge_that_fails_does_not_stop_the_others(
    local: Settings,
) -> None:
    storage = Storage.of(local)
    table = written(storage, days=3, commits=3)
    damaged = table.files()[0]
    damaged.write_bytes(damaged.read_bytes()[:200])
    report = compact(local)
    assert report.merged == 1
    (failed,) = report.failed
    assert failed == ("events", date.fromisoformat(damaged.parent.name[len("date=") :]))
    assert file_count(storage) == 3 + 1 + 3


def test_rows_without_a_date_are_left(local: Settings) -> None:
    storage = Storage.of(local)
    written(storage, days=2, commits=2)
    row = pa.table({"event_id": ["of another writer"]})
    write_deltalake(storage.uri("events"), row, mode="append", schema_mode="merge")
    assert compact(local).merged == 1
    assert file_count(storage) == 1 + 2 + 1


def test_the_lake_of_a_newer_layout_is_left_alone(local: Settings) -> None:
    storage = Storage.of(local)
    written(storage, days=2, commits=2)
    storage.replace(LAYOUT_FILE, b'{"layout": 99}')
    with pytest.raises(LakeError, match="layout 99"):
        compact(local)
    assert file_count(storage) == 4


def test_a_date_that_may_still_grow_is_not_rewritten(local: Settings) -> None:
    storage = Storage.of(local)
    table = EventsTable(storage, step=timedelta(seconds=1))
    # The clock of the writers is behind.
    table.now = datetime.now(UTC) - timedelta(days=1)
    for offset in range(4):
        table.commit((0, offset))
    assert compact(local).merged == 0
    table.now += timedelta(days=1)
    table.commit((0, 4))
    assert compact(local).merged == 1


def test_an_empty_lake_has_nothing_to_compact(local: Settings) -> None:
    assert compact(local).merged == 0


@pytest.mark.process
@pytest.mark.parametrize(("row_kb", "rows", "merges"), [(200, 100, 3), (1_000, 100, 8)])
def test_wide_rows_are_merged_within_the_memory(
    local: Settings, row_kb: int, rows: int, merges: int
) -> None:
    storage = Storage.of(local)
    table = EventsTable(storage, step=timedelta(seconds=1))
    for commit in range(8):
        records = [table.row(0, rows * commit + n) for n in range(rows)]
        for record in records:
            record["payload"] = f"{record['kafka_offset']} {'x' * row_kb * 1_000}"
        read = keyed({0: rows * (commit + 1) - 1})
        table.table.commit(pa.Table.from_pylist(records, EVENTS), read, {})
        table.now += timedelta(seconds=1)
    table.now += timedelta(days=1)
    table.commit((0, 8 * rows))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.flows.wide_compaction"],
        env=environment(local),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    merged, peak_mib = map(int, done.stdout.splitlines()[-1].split())
    assert peak_mib < MEMORY_MIB_MAX
    assert merged == merges
    assert not compaction_is_due(local)
    assert rows_in_files(storage) == [(0, offset) for offset in range(8 * rows + 1)]


@pytest.mark.process
def test_several_workers_share_the_dates(local: Settings) -> None:
    storage = Storage.of(local)
    written(storage, days=5, commits=3)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bytewax.run", "flows.compact:flow", "-w", "2"],
        env=environment(local) | {"SEMLOOP_METRICS_PORT": "0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert file_count(storage) == 4 + 3
    assert rows_in_files(storage) == [(0, offset) for offset in range(15)]


@pytest.mark.process
@pytest.mark.timeout(120)
def test_frozen_maintainers_alongside_a_writer_and_readers(local: Settings) -> None:
    assert "1 rounds" in run_rounds(local, rounds=1, seed=SEED)


@pytest.mark.storm
@pytest.mark.timeout(1_800)
def test_many_rounds_of_frozen_and_killed_maintainers(
    lake: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = int(os.environ.get("SEMLOOP_TEST_ROUNDS", "100"))
    seed = int(os.environ.get("SEMLOOP_TEST_SEED", str(SEED)))
    seen = run_rounds(lake, rounds, seed)
    with capsys.disabled():
        sys.stdout.write(f"\n{seen}\n")
