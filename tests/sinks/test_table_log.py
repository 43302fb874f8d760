"""`TableLog` meets the requirements of the fencing protocol."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from deltalake.exceptions import CommitFailedError

from semloop.delta.snapshot import Snapshot
from semloop.storage.location import Storage
from sinks.delta.ownership import FILE_S_MAX, Ownership, PendingCommit
from sinks.delta.table_log import TableLog
from tests.sinks.sink_contract import SINKS, clean_log

SINK = SINKS[0]


@pytest.fixture
def log(storage: Storage) -> TableLog:
    SINK.create(storage)
    return TableLog(storage, SINK.name)


def carried(log: TableLog, since: int) -> list[Mapping[str, int] | None]:
    return list(log.entries(since))


def test_it_stays_at_its_version_until_follow(log: TableLog) -> None:
    log.commit([log.write(SINK.rows(0, 2))], {"a": 1, "b": 2})
    assert (log.version, log.stored("a"), carried(log, 0)) == (0, None, [])
    log.follow()
    assert (log.version, log.stored("a"), log.stored("b")) == (1, 1, 2)
    assert log.handle.version() == 1


def test_entries_returns_the_numbers_of_each_commit_in_order(
    storage: Storage, log: TableLog
) -> None:
    for number in range(3):
        TableLog(storage, SINK.name).commit((), {f"{number}": number, "every": number})
    log.follow()
    assert carried(log, 3) == []
    assert carried(log, 1) == [{"1": 1, "every": 1}, {"2": 2, "every": 2}]


def test_entries_returns_none_for_an_entry_that_was_cleaned_up(
    storage: Storage, log: TableLog
) -> None:
    log.commit((), {"a": 1})
    clean_log(storage, SINK.name)
    log.reopen()
    assert carried(log, 0)[0] is None
    assert log.stored("a") == 1


def test_commits_with_the_same_app_id_on_the_same_version_conflict(
    storage: Storage, log: TableLog
) -> None:
    other = TableLog(storage, SINK.name)
    other.commit((), {"a": 1})
    with pytest.raises(CommitFailedError):
        log.commit((), {"a": 2})
    log.commit((), {"b": 2})
    log.follow()
    assert (log.stored("a"), log.stored("b")) == (1, 2)


def test_a_file_without_a_commit_is_not_in_the_table(
    storage: Storage, log: TableLog
) -> None:
    log.write(SINK.rows(0, 2))
    log.commit((), {"a": 1})
    assert SINK.offsets(storage) == []


def test_write_asserts_the_schema_of_the_rows(log: TableLog) -> None:
    with pytest.raises(AssertionError):
        log.write(SINK.rows(0, 2).drop_columns("topic"))


def test_a_file_that_waited_for_hours_is_written_again_before_its_commit(
    storage: Storage, log: TableLog
) -> None:
    own = Ownership({}, {})
    pending = PendingCommit(log, SINK.rows(0, 2), {"a": 1}, own, own)
    (first,) = pending.files
    assert pending.files == (first,)
    # By the storage's clock only: that of a machine that was suspended may have stopped.
    file = Path(storage.uri(SINK.name), first.path)
    old_s = file.stat().st_mtime - FILE_S_MAX - 60
    os.utime(file, (old_s, old_s))
    pending.attempt()
    log.follow()
    (path,) = Snapshot.of(SINK.name, log.handle).files
    assert path != first.path
