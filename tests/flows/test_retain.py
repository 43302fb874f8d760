"""The flow `retain`: what goes, what is held, and what runs meanwhile."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from flows.compact import compact
from flows.retain import retain
from flows.vacuum import vacuum
from semloop.errors import ConfigError
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from tests.flows.retained_lake import (
    DAYS,
    NAMESPACES,
    ROWS,
    MemoryFlow,
    contents,
    payloads,
    payloads_in_any_file,
    write,
    written,
)
from tests.sources.events_table import EventsTable
from tests.support.processes import ROOT, environment
from tests.support.services import wait_for

pytestmark = pytest.mark.slow

# Day 3 has expired: its last moment was two days before the start of today.
KEPT_DAYS = 2.0


@pytest.fixture
def local(storage: Storage) -> Settings:
    return load({}, lake=storage.root).replace(vacuum_hours=0.0)


@pytest.fixture(params=["local", "s3_settings"], ids=["folder", "s3"])
def lake(request: pytest.FixtureRequest) -> Settings:
    found: Settings = request.getfixturevalue(request.param)
    return found.replace(vacuum_hours=0.0)


def all_payloads(*days: int, without: str = "") -> list[str]:
    found = [f"{day}-{name}" for day in days for name in ("a", "b", None)]
    return sorted(2 * [text for text in found if text not in without.split()])


def vacuum_until(settings: Settings, table: EventsTable, left: set[str]) -> None:
    """Commit and vacuum until the files have certain payloads only.

    A file is deleted if a later one was committed; a store may tell seconds only.
    """
    offsets = itertools.count(DAYS * ROWS, len(NAMESPACES))

    def done() -> bool:
        write(table, next(offsets))
        vacuum(settings)
        return payloads_in_any_file(table.storage) == left

    wait_for("a vacuum", done)


@pytest.mark.parametrize("compacted", [False, True])
def test_dates_that_have_expired_are_in_no_file_after_a_vacuum(
    lake: Settings, compacted: bool
) -> None:
    table = written(lake)
    if compacted:
        compact(lake)
    settings = lake.replace(retention={"events": KEPT_DAYS})
    assert set(all_payloads(3)) <= payloads_in_any_file(table.storage)
    found = retain(settings, dry_run=True).expired["events"]
    assert payloads(table.storage) == all_payloads(0, 1, 2, 3)
    report = retain(settings)
    assert report.expired == {"events": found}
    assert (found.dates, found.rows, found.bytes > 0) == (1, ROWS, True)
    assert payloads(table.storage) == all_payloads(0, 1, 2)
    assert retain(settings).expired == {}
    # It commits on a handle from before, too.
    vacuum_until(settings, table, set(all_payloads(0, 1, 2)))


def test_the_rows_of_one_namespace_go(lake: Settings) -> None:
    table = written(lake)
    compact(lake)
    settings = lake.replace(retention={"events/a": KEPT_DAYS})
    found = retain(settings, dry_run=True).expired["events"]
    assert (found.dates, found.rows) == (1, 2)
    # An estimate: a third of the rows of a file.
    assert 0 < 3 * found.bytes <= max(len(data) for _, data in contents(table.storage))
    assert retain(settings).expired["events"].rows == 2
    left = all_payloads(0, 1, 2, 3, without="3-a")
    assert payloads(table.storage) == left
    assert retain(settings).expired == {}
    vacuum_until(settings, table, set(left))


def test_a_namespace_may_be_kept_for_longer(local: Settings) -> None:
    table = written(local)
    settings = local.replace(retention={"events": KEPT_DAYS, "events/b": 0.0})
    assert retain(settings).expired["events"].rows == 4
    # Rows without a namespace go with those of the table.
    left = all_payloads(0, 1, 2, 3, without="3-a 3-None")
    assert payloads(table.storage) == left
    compact(local)
    assert payloads(table.storage) == left


def test_nothing_goes_without_a_retention(local: Settings) -> None:
    table = written(local)
    assert retain(local).expired == {}
    assert payloads(table.storage) == all_payloads(0, 1, 2, 3)


def test_a_lake_that_no_flow_has_begun_is_not_begun(tmp_path: Path) -> None:
    settings = Settings(lake=str(tmp_path / "mistyped"))
    settings = settings.replace(retention={"events": KEPT_DAYS, "memories": KEPT_DAYS})
    retain(settings)
    compact(settings)
    assert list(tmp_path.iterdir()) == []


def test_events_that_memory_has_not_read_are_held(local: Settings) -> None:
    table = written(local)
    memory = MemoryFlow(table.storage)
    memory.commit(ROWS - 2)
    settings = local.replace(retention={"events": KEPT_DAYS})
    report = retain(settings)
    assert (report.expired, report.held) == ({}, {"events": 1})
    assert payloads(table.storage) == all_payloads(0, 1, 2, 3)
    memory.commit(ROWS - 1)
    assert retain(settings).expired["events"].rows == ROWS


def test_events_of_a_topic_that_was_created_again_wait_for_memory(
    local: Settings,
) -> None:
    table = written(local)
    # It has been stopped since, so it has no position in the new topic.
    MemoryFlow(table.storage, topic_id="before")
    report = retain(local.replace(retention={"events": KEPT_DAYS}))
    assert (report.expired, report.held) == ({}, {"events": 1})
    assert payloads(table.storage) == all_payloads(0, 1, 2, 3)


def test_the_revisions_of_open_episodes_are_held(local: Settings) -> None:
    storage = Storage.of(local)
    memory = MemoryFlow(storage)
    memory.commit(1, day=5, one="open", two="closed")
    settings = local.replace(retention={"episodes": KEPT_DAYS})
    assert retain(settings).held == {"episodes": 1}
    memory.commit(2, day=1, one="closed")
    report = retain(settings)
    assert (report.expired["episodes"].rows, report.held) == (2, {})
    rows = storage.open("episodes").to_pyarrow_table(columns=["episode_id", "state"])
    assert rows.to_pylist() == [{"episode_id": "one", "state": "closed"}]
    # The flow continues.
    memory.commit(3, three="open")


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_closed_episode_is_not_open_again_because_an_earlier_date_is_held(
    local: Settings, dry_run: bool
) -> None:
    memory = MemoryFlow(Storage.of(local))
    memory.commit(1, day=7, one="open", two="open")
    memory.commit(2, day=6, one="closed")
    settings = local.replace(retention={"episodes": KEPT_DAYS})
    report = retain(settings, dry_run=dry_run)
    assert (report.expired, report.held) == ({}, {"episodes": 2})
    memory.commit(3, day=5, two="closed")
    report = retain(settings, dry_run=dry_run)
    assert (report.expired["episodes"].dates, report.held) == (3, {})


def test_files_of_a_date_that_cannot_go_yet_are_not_written(local: Settings) -> None:
    memory = MemoryFlow(Storage.of(local))
    for day, namespace in ((7, "a"), (7, "b"), (6, "a"), (6, "b")):
        state = "open" if (day, namespace) == (7, "a") else "closed"
        number = 10 - day + (namespace == "b") / 2
        memory.commit(int(2 * number), day, namespace, **{f"{day}{namespace}": state})
    # One file per date, with rows of both namespaces.
    memory.commit(10, other="closed")
    compact(local)
    before = set(Path(local.lake).rglob("*.parquet"))
    settings = local.replace(retention={"episodes/a": KEPT_DAYS})
    assert retain(settings).held == {"episodes": 2}
    assert set(Path(local.lake).rglob("*.parquet")) == before


def test_a_date_that_fails_does_not_stop_the_others(local: Settings) -> None:
    table = written(local, days=DAYS + 1)
    damaged = table.files()[0]
    damaged.write_bytes(damaged.read_bytes()[:200])
    settings = local.replace(storage_retry_s=0.1)
    report = retain(settings.replace(retention={"events/a": KEPT_DAYS}))
    assert len(report.failed) == 1
    assert report.expired["events"].dates == 1


def test_an_append_that_meets_an_expiry_is_refused_once(local: Settings) -> None:
    table = written(local)
    causes: list[str] = []
    table.table._on_retry = lambda name, cause: causes.append(cause)
    retain(local.replace(retention={"events": KEPT_DAYS}))
    write(table, DAYS * ROWS)
    write(table, DAYS * ROWS + 3)
    assert causes == ["moved"]
    assert len(payloads(table.storage)) == DAYS * ROWS


@pytest.mark.parametrize(
    ("retention", "reason"),
    [
        ('{"memory": 9}', "`memory` is not one of events"),
        ('{"dead_letters/a": 9}', "rows of dead_letters have no namespace"),
        ('{"events": 1}', "`events` must be 0 or at least 2 days"),
        ("9", "expected `object`, got `int`"),
        ('{"memories/*": 9}', "`memories` is the entry of all other namespaces"),
        ('{"events/*": 9}', "`events` is the entry of all other namespaces"),
    ],
)
def test_a_retention_that_is_no_retention_is_refused(
    retention: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        load({"SEMLOOP_RETENTION": retention})


KILLED = """
import os, signal, sys
from semloop.storage.location import Storage
from flows.retain import retain
from semloop.settings import load
left, create, put = iter(range(int(sys.argv[1]))), Storage.create, Storage.put_file
def dying(function):
    def step(*args):
        if next(left, "end") == "end":
            os.kill(os.getpid(), signal.SIGKILL)
        done = function(*args)
        if next(left, "end") == "end":
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return step
Storage.create, Storage.put_file = dying(create), dying(put)
retain(load())
"""


@pytest.mark.process
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.storm)])
def test_the_run_after_a_kill_finishes(
    local: Settings, kills: int, tmp_path: Path
) -> None:
    for number in range(kills):
        settings = local.replace(lake=str(tmp_path / str(number)))
        table = written(settings)
        compact(settings)
        env = environment(settings, SEMLOOP_RETENTION='{"events/a": 2}')
        command = [sys.executable, "-c", KILLED, str(number % 4)]
        done = subprocess.run(command, env=env, cwd=ROOT, timeout=120)
        assert done.returncode == -9
        left = all_payloads(0, 1, 2, 3, without="3-a")
        every = all_payloads(0, 1, 2, 3)
        assert payloads(table.storage) == (left if number % 4 == 3 else every)
        settings = settings.replace(retention={"events/a": KEPT_DAYS})
        retain(settings)
        assert payloads(table.storage) == left
