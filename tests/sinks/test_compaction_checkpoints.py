"""A compaction makes the checkpoints of the log that are due."""

from pathlib import Path

import pytest

from semloop.errors import StorageUnavailable
from semloop.storage.location import Storage
from sinks.compaction.log_entry import Outcome
from tests.sinks.compacting import SteppedStorage, compact, rows_in_files, rows_in_lake
from tests.sources.events_table import EventsTable

# A log of a hundred entries.
pytestmark = pytest.mark.slow

ROWS = [(0, 0), (0, 1)]


def at_version(storage: Storage, version: int) -> Path:
    """Write a table with two rows up to a version; return the folder of its log."""
    table = EventsTable(storage)
    for row in ROWS:
        table.commit(row)
    for _ in range(version - storage.open("events").version()):
        table.commit()
    assert storage.open("events").version() == version
    return Path(storage.uri("events"), "_delta_log")


def checkpoint(version: int) -> str:
    return f"{version:020}.checkpoint.parquet"


def test_a_compaction_makes_the_checkpoint_that_is_due(storage: Storage) -> None:
    log = at_version(storage, 98)
    compact(storage)
    assert (log / checkpoint(99)).exists()
    assert rows_in_lake(storage) == ROWS


def test_a_checkpoint_that_a_killed_process_left_out_is_made(storage: Storage) -> None:
    log = at_version(storage, 130)
    for file in (*log.glob("*.checkpoint.parquet"), log / "_last_checkpoint"):
        file.unlink()
    assert compact(storage) == [Outcome.COMMITTED]
    assert (log / checkpoint(131)).exists()


def test_a_checkpoint_that_fails_is_not_a_failed_merge(storage: Storage) -> None:
    def fail(method: str, name: str) -> None:
        if name.endswith("_last_checkpoint"):
            msg = "Not now."
            raise StorageUnavailable(msg)

    at_version(storage, 98)
    assert compact(SteppedStorage(storage.root, before=fail)) == [Outcome.COMMITTED]
    assert rows_in_files(storage) == ROWS
