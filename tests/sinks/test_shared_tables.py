"""Tables with concurrent writers and maintenance, and tables that lose commits.

Most tests run on a folder and on the S3 server of the test run.
"""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from semloop.delta.streams import Partition
from semloop.errors import LakeError, StorageUnavailable, TakenOver
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.delta.fenced_table import FencedTable
from tests.sinks.maintenance import MAINTENANCE
from tests.sinks.sink_contract import SINKS
from tests.sinks.wrapped_log import Interrupted, Unread, WrappedLog
from tests.sinks.writer_builder import stored, write, writer
from tests.support.builders import LOG, keyed

pytestmark = pytest.mark.slow

WRITERS = 4
COMMITS = 2


@pytest.fixture(params=["settings", "s3_settings"], ids=["folder", "s3"])
def lake(request: pytest.FixtureRequest) -> Settings:
    found: Settings = request.getfixturevalue(request.param)
    return found


def test_app_ids_of_offsets_are_those_of_existing_lakes() -> None:
    assert LOG.app_id("events", 3) == "archive/events/cluster-1/topic-1/3"


def test_concurrent_writers_of_different_partitions_all_succeed(lake: Settings) -> None:
    def run(partition: int) -> None:
        tables = writer(lake, [partition])
        assert tables.take_over() == keyed({partition: -1})
        for number in range(COMMITS):
            write(tables, 2 * number, partition)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(run, range(WRITERS)))
    evens = [(p, 2 * n) for p in range(WRITERS) for n in range(COMMITS)]
    assert stored(lake) == evens
    assert stored(lake, "dead_letters") == [(p, o + 1) for p, o in evens]


def test_one_of_many_concurrent_rivals_continues(lake: Settings) -> None:
    def run(_: int) -> bool:
        try:
            tables = writer(lake)
            offsets = tables.take_over()
            for offset in range(offsets[Partition(LOG.topic_id, 0)] + 1, 4, 2):
                write(tables, offset)
        except TakenOver:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        continued = list(pool.map(run, range(WRITERS)))
    assert any(continued)
    assert stored(lake) == [(0, 0), (0, 2)]
    assert stored(lake, "dead_letters") == [(0, 1), (0, 3)]
    assert writer(lake).take_over() == keyed({0: 3, 1: -1})


def test_maintenance_neither_stops_a_writer_nor_loses_rows(
    lake: Settings,
) -> None:
    tables = writer(lake)
    tables.take_over()
    offset = 0
    for work in MAINTENANCE.values():
        for _ in range(2):
            write(tables, offset)
            offset += 2
        for table in ("events", "dead_letters"):
            work(Storage.of(lake).open(table))
    write(tables, offset)
    evens = [(0, at) for at in range(0, offset + 2, 2)]
    assert stored(lake) == evens
    assert stored(lake, "dead_letters") == [
        (0, at + 1) for at in range(0, offset + 2, 2)
    ]
    assert writer(lake).take_over() == keyed({0: offset + 1, 1: -1})


def test_check_fences_follows_other_writers_and_detects_a_rival(lake: Settings) -> None:
    older, other = writer(lake, [0, 1]), writer(lake, [2])
    older.take_over()
    other.take_over()
    for number, work in enumerate(MAINTENANCE.values()):
        write(other, 2 * number, partition=2)
        work(Storage.of(lake).open("events"))
        older._main.check_fences()
        newest = Storage.of(lake).open("events").version()
        assert older._main.handle.version() == newest
    write(older, 0)
    writer(lake, [1]).take_over()
    for table in (older._main, older._side):
        with pytest.raises(TakenOver, match="partition 1"):
            table.check_fences()
    assert (0, 0) in stored(lake)


def test_a_table_that_lost_commits_is_reported_and_not_as_a_take_over(
    settings: Settings, tmp_path: Path
) -> None:
    tables = writer(settings)
    tables.take_over()
    write(tables, 0)
    backup = shutil.copytree(settings.lake, tmp_path / "backup")
    write(tables, 2)
    shutil.rmtree(settings.lake)
    shutil.copytree(backup, settings.lake)
    with pytest.raises(LakeError) as error:
        tables._main.reopen()
    assert error.value.what == (
        "Table events no longer contains the commits of this flow."
    )
    assert "start the flow again" in error.value.todo
    again = writer(settings)
    assert again.take_over() == keyed({0: 1, 1: -1})
    write(again, 2)
    assert stored(settings) == [(0, 0), (0, 2)]


def test_a_table_that_lost_commits_is_reported_by_a_commit_without_a_reply(
    storage: Storage, tmp_path: Path
) -> None:
    class Restored(WrappedLog):
        """Restores an older state of the table instead of the second commit."""

        backup: Path | None = None

        def commit(self, files: Any, transactions: Any) -> None:
            folder = Path(storage.uri(self.name))
            if self.backup:
                shutil.rmtree(folder)
                shutil.copytree(self.backup, folder)
                msg = "no answer"
                raise OSError(msg)
            super().commit(files, transactions)

    sink = SINKS[0]
    log = sink.open_log(storage, Restored)
    table = sink.taken(storage, log=log)
    backup = shutil.copytree(storage.uri(sink.name), tmp_path / "backup")
    table.commit(sink.rows(0, 1), keyed({0: 0}))
    log.backup = backup
    with pytest.raises(LakeError, match="Table events no longer contains"):
        table.commit(sink.rows(1, 2), keyed({0: 1}))


def test_a_table_that_was_recreated_is_reported(settings: Settings) -> None:
    tables = writer(settings)
    tables.take_over()
    write(tables, 0)
    shutil.rmtree(settings.lake)
    writer(settings).open()
    with pytest.raises(LakeError, match="Table events no longer contains"):
        tables._main.reopen()


def test_a_recreated_main_table_with_an_older_side_table_can_be_taken_over(
    settings: Settings,
) -> None:
    for _ in range(3):
        writer(settings).take_over()
    shutil.rmtree(Storage.of(settings).uri("events"))
    newer = writer(settings)
    assert newer.take_over() == keyed({0: -1, 1: -1})
    assert (
        newer._main.epoch(Partition(LOG.topic_id, 0))
        == newer._side.epoch(Partition(LOG.topic_id, 0))
        == 4
    )


@pytest.mark.parametrize("rival", [True, False], ids=["rival", "other partition"])
def test_concurrent_commits_that_could_not_be_read_are_checked_later(
    storage: Storage, *, rival: bool
) -> None:
    sink = SINKS[0]
    unread = sink.open_log(storage, Unread)
    log = Interrupted(unread)
    older = sink.taken(storage, log=log)

    def meanwhile() -> None:
        sink.taken(storage, (0,) if rival else (2,))
        unread.failures = 1

    log.then = meanwhile
    if rival:
        with pytest.raises(TakenOver):
            older.commit(sink.rows(0, 2), keyed({0: 1}))
    else:
        older.commit(sink.rows(0, 2), keyed({0: 1}))
    # Table created, two fences, one commit: the commit was not repeated.
    assert (unread.failures, storage.open(sink.name).version()) == (0, 3)
    assert sink.offsets(storage) == [(0, 0), (0, 1)]


@pytest.mark.parametrize(
    "check",
    [FencedTable.check_fences, FencedTable.reopen],
    ids=["entries", "fences"],
)
@pytest.mark.parametrize("repeated", [True, False], ids=["repeated", "once"])
def test_a_check_that_fails_to_read_does_not_hide_a_take_over(
    storage: Storage,
    check: Callable[[FencedTable], None],
    *,
    repeated: bool,
) -> None:
    sink = SINKS[0]
    log = sink.open_log(storage, Unread)
    older = sink.taken(storage, log=log)
    sink.taken(storage)
    log.failures = 1
    with pytest.raises(StorageUnavailable):
        check(older)
    # The log has already moved to the version of the take-over.
    assert log.version == storage.open(sink.name).version()
    if repeated:
        with pytest.raises(TakenOver):
            check(older)
    with pytest.raises(TakenOver):
        older.commit(sink.rows(0, 1), keyed({0: 0}))
    assert sink.offsets(storage) == []
