"""Writers and maintenance that are killed, or suspended until versions are dropped."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from semloop.lake import generations
from semloop.settings import Settings
from semloop.storage import store_time
from semloop.storage.location import Storage
from sinks.vectors import maintenance
from sinks.vectors.commit_check import NAME_OF_VERSION_0, CommitCheck, versions
from sinks.vectors.maintenance import maintain
from tests.sinks.memory_builder import memory_rows, stored, vector_table
from tests.support.processes import ROOT, environment

pytestmark = pytest.mark.slow

ROUNDS = 3
# Merges five new rows again and again, and prints the first number after each merge.
WRITER = """
from semloop.command.lancedb_import_shim import import_less_of_lancedb
import_less_of_lancedb()
from semloop.settings import load
from semloop.storage.location import Storage
from tests.sinks.memory_builder import memory_rows, vector_table
table, number = vector_table(Storage.of(load())), 1_000
while True:
    print(number, flush=True)
    table.merge(memory_rows(range(number, number + 5), writer=2))
    number += 5
"""
# Maintains again and again; versions are old immediately.
MAINTAINER = """
from semloop.command.lancedb_import_shim import import_less_of_lancedb
import_less_of_lancedb()
from datetime import timedelta
from semloop.settings import load
from semloop.storage.location import Storage
from sinks.vectors import maintenance
maintenance.VERSION_RETENTION = timedelta(milliseconds=1)
maintenance.VERSION_AGE_MAX = timedelta(0)
while True:
    print(flush=True)
    maintenance.maintain(Storage.of(load()), 1)
"""


# The rules are the same on S3, where one of them runs in every run.
S3_IN_STORMS = pytest.mark.parametrize(
    "lake_settings",
    ["folder", pytest.param("s3", marks=pytest.mark.storm)],
    indirect=True,
)


@pytest.fixture(params=["folder", "s3"])
def lake_settings(request: pytest.FixtureRequest) -> Settings:
    named = "settings" if request.param == "folder" else "s3_settings"
    settings: Settings = request.getfixturevalue(named)
    return settings


@pytest.fixture(autouse=True)
def _versions_are_old_immediately(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "VERSION_RETENTION", timedelta(milliseconds=1))
    monkeypatch.setattr(maintenance, "VERSION_AGE_MAX", timedelta(0))


@contextmanager
def process(settings: Settings, script: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a script until the end of the block."""
    running = subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment(settings), cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def stop(running: "subprocess.Popen[str]", by: int = signal.SIGSTOP) -> str:
    """Stop a process at some moment after its next line, and return the line."""
    assert running.stdout is not None
    line = running.stdout.readline()
    assert line, running.stderr and running.stderr.read()
    # Busy, not asleep: a merge takes some milliseconds.
    for _ in range(random.randrange(200_000)):
        pass
    os.kill(running.pid, by)
    return line


def test_a_suspended_writer_loses_and_repeats_no_rows(lake_settings: Settings) -> None:
    storage, numbers = Storage.of(lake_settings), set(range(50))
    table = vector_table(storage)
    table.merge(memory_rows(numbers))
    with process(lake_settings, WRITER) as writer:
        for turn in range(ROUNDS):
            number = int(stop(writer))
            numbers |= {*range(1_000, number)}
            # A later writer takes over what the suspended one is about to merge.
            taken = range(number, number + 10) if turn % 2 else range(40, 50)
            table.merge(memory_rows(taken, writer=3 + turn))
            numbers |= {*taken}
            maintain(storage, 1)
            table.merge(memory_rows([10_000 + turn]))
            numbers.add(10_000 + turn)
            maintain(storage, 1)
            os.kill(writer.pid, signal.SIGCONT)
        last = int(stop(writer))
        os.kill(writer.pid, signal.SIGCONT)
        assert writer.stdout is not None
        # Its merge was complete when it printed the next number.
        assert int(writer.stdout.readline()) == last + 5
    found = [number for number, _ in stored(storage)]
    assert len(found) == len({*found})
    assert {*found} >= numbers | {*range(1_000, last + 5)}


@S3_IN_STORMS
def test_suspended_maintenance_loses_and_repeats_no_rows(
    lake_settings: Settings,
) -> None:
    storage, table = Storage.of(lake_settings), vector_table(Storage.of(lake_settings))
    with process(lake_settings, MAINTAINER) as other:
        for turn in range(ROUNDS):
            table.merge(memory_rows(range(20 * turn, 20 * turn + 20)))
            stop(other)
            table.merge(memory_rows(range(20 * turn, 20 * turn + 5), writer=2))
            maintain(storage, 1)
            maintain(storage, 1)
            os.kill(other.pid, signal.SIGCONT)
        stop(other)
        assert other.poll() is None
    expected = [(n, 2 if n % 20 < 5 else 1) for n in range(20 * ROUNDS)]
    assert stored(storage) == expected
    report = maintain(storage, 1)
    assert report is not None
    assert report.rows == len(expected)


@S3_IN_STORMS
def test_killed_maintenance_loses_and_repeats_no_rows(lake_settings: Settings) -> None:
    storage = Storage.of(lake_settings)
    table = vector_table(storage)
    for turn in range(ROUNDS):
        for start in range(40 * turn, 40 * turn + 40, 10):
            table.merge(memory_rows(range(start, start + 10)))
        with process(lake_settings, MAINTAINER) as running:
            stop(running, signal.SIGKILL)
        assert stored(storage) == [(n, 1) for n in range(40 * turn + 40)]
    report = maintain(storage, 1)
    assert report is not None
    assert (report.rows, report.unindexed) == (40 * ROUNDS, 0)


@pytest.mark.parametrize(("own", "newest"), [(1, 2), (3, 3)])
def test_a_commit_that_is_compared_with_dropped_versions_repeats_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: int, newest: int
) -> None:
    storage = Storage(str(tmp_path))
    other = vector_table(storage)
    other.merge(memory_rows(range(5)))
    with monkeypatch.context() as patched:
        # It looks for no newer version, as if it were suspended before its commit.
        stale = partial(generations.connect, stale_s=3_600)
        patched.setattr(generations, "connect", stale)
        suspended = vector_table(storage)
    known = max(versions(storage, 1))
    other.merge(memory_rows(range(5, 15), writer=2))
    other.merge(memory_rows([100]))
    folder = tmp_path / "memories" / "generation-1.lance" / "_versions"
    (folder / f"{NAME_OF_VERSION_0 - known - 1}.manifest").unlink()
    suspended.merge(memory_rows(range(10, 20), writer=own))
    expected = [(n, 1) for n in range(5)] + [(n, 2) for n in range(5, 10)]
    expected += [(n, newest) for n in range(10, 15)]
    expected += [(n, own) for n in range(15, 20)] + [(100, 1)]
    assert stored(storage) == expected


def test_a_compaction_that_is_compared_with_dropped_versions_brings_back_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(str(tmp_path))
    table = vector_table(storage)
    for start in range(0, 150, 50):
        table.merge(memory_rows(range(start, start + 50)))
    monkeypatch.setattr(
        generations, "connect", partial(generations.connect, stale_s=3_600)
    )
    now, turns = store_time.now, iter(range(1))

    def suspended(at: Storage) -> datetime:
        for _ in turns:
            known = max(versions(storage, 1))
            table.merge(memory_rows(range(3), writer=2))
            table.merge(memory_rows([200]))
            folder = tmp_path / "memories" / "generation-1.lance" / "_versions"
            (folder / f"{NAME_OF_VERSION_0 - known - 1}.manifest").unlink()
        return now(at)

    # `maintain` asks for the time just before it compacts.
    monkeypatch.setattr(store_time, "now", suspended)
    maintain(storage, 1)
    expected = [(n, 2 if n < 3 else 1) for n in range(150)] + [(200, 1)]
    assert stored(storage) == expected


def test_a_commit_to_a_dropped_version_is_not_taken_for_stored(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    table = vector_table(storage)
    table.merge(memory_rows(range(5)))
    opened = generations.open_table(generations.connect(storage), 1)
    assert opened is not None
    check, past = CommitCheck(storage, 1, opened), opened.version
    table.merge(memory_rows(range(5, 10), writer=2))
    assert check.is_stored_once(memory_rows(range(5)), past)
    assert not check.is_stored_once(memory_rows(range(8, 12)), past)
    # An earlier writer's row of the same id is not this commit's.
    assert not check.is_stored_once(memory_rows(range(5), writer=2), past)


def test_old_versions_are_dropped_although_nothing_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(str(tmp_path))
    table = vector_table(storage)
    for number in range(30):
        table.merge(memory_rows([number]))
    monkeypatch.setattr(maintenance, "VERSION_AGE_MAX", timedelta(minutes=20))
    maintain(storage, 1)
    assert len(versions(storage, 1)) > 30
    for path in (tmp_path / "memories").rglob("*.manifest"):
        os.utime(path, (0, 0))
    maintain(storage, 1)
    # What maintenance itself has committed remains.
    assert len(versions(storage, 1)) <= 2
    assert stored(storage) == [(n, 1) for n in range(30)]
