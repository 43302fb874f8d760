"""The log of a Delta table, as the protocol of fences needs it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from deltalake.exceptions import CommitFailedError

from semloop.storage.location import Storage
from sinks.delta.table_log import TableLog
from tests.sinks.sink_contract import SINKS, clean_log

SINK = SINKS[0]


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "lake"))


@pytest.fixture
def log(storage: Storage) -> TableLog:
    SINK.create(storage)
    return TableLog(storage, SINK.name)


def carried(log: TableLog, since: int) -> list[Mapping[str, int] | None]:
    return list(log.entries(since))


def test_it_stays_at_its_version_until_it_follows(log: TableLog) -> None:
    log.commit([log.write(SINK.rows(0, 2))], {"a": 1, "b": 2})
    assert (log.version, log.stored("a"), carried(log, 0)) == (0, None, [])
    log.follow()
    assert (log.version, log.stored("a"), log.stored("b")) == (1, 1, 2)
    assert log.handle.version() == 1


def test_entries_are_what_each_commit_carries_in_order(
    storage: Storage, log: TableLog
) -> None:
    for number in range(3):
        TableLog(storage, SINK.name).commit((), {f"{number}": number, "every": number})
    log.follow()
    assert carried(log, 3) == []
    assert carried(log, 1) == [{"1": 1, "every": 1}, {"2": 2, "every": 2}]


def test_an_entry_that_was_cleaned_up_is_none(storage: Storage, log: TableLog) -> None:
    log.commit((), {"a": 1})
    clean_log(storage, SINK.name)
    log.reopen()
    assert carried(log, 0)[0] is None
    assert log.stored("a") == 1


def test_two_commits_of_one_number_on_one_version_conflict(
    storage: Storage, log: TableLog
) -> None:
    other = TableLog(storage, SINK.name)
    other.commit((), {"a": 1})
    with pytest.raises(CommitFailedError):
        log.commit((), {"a": 2})
    log.commit((), {"b": 2})
    log.follow()
    assert (log.stored("a"), log.stored("b")) == (1, 2)


def test_a_file_that_no_commit_names_is_in_no_version(
    storage: Storage, log: TableLog
) -> None:
    log.write(SINK.rows(0, 2))
    log.commit((), {"a": 1})
    assert SINK.offsets(storage) == []


def test_rows_of_another_schema_are_a_mistake_of_ours(log: TableLog) -> None:
    with pytest.raises(AssertionError):
        log.write(SINK.rows(0, 2).drop_columns("topic"))
