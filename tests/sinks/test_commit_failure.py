"""Each kind of failed commit, caused in the real library.

The kinds are distinguished by error texts; a test fails when a release changes one.
"""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, SchemaMismatchError

from schemas.arrow import EVENTS
from semloop.delta.fence import FENCE, Fence
from semloop.delta.streams import Streams
from semloop.errors import LakeError, StorageUnavailable
from semloop.storage.location import Storage
from sinks.delta.commit_error import CommitFailure, commit_failure
from sinks.delta.create_table import REMOVED_RETENTION, create
from sinks.delta.fenced_table import FencedTable
from sinks.delta.table_log import TableLog
from tests.sinks.sink_contract import clean_log, foreign_commit, full_disk
from tests.support.builders import LOG, NOW, P0

TABLE = "events"
# App ids of any commit to the partition; the values do not matter here.
NAME = LOG.app_id(TABLE, 0)
NUMBERS = {NAME: 1, NAME + FENCE: Fence(1, 1).pack()}


def some_rows(first: int = 0, count: int = 2, **values: object) -> pa.Table:
    row = {"event_id": "e", "kafka_partition": 0, "kafka_ts": NOW, "date": NOW.date()}
    return pa.Table.from_pylist(
        [row | {"kafka_offset": first + i} | values for i in range(count)], EVENTS
    )


class Writer:
    """A writer of one partition, and the log that it commits to."""

    def __init__(self, storage: Storage, epoch: int = 1) -> None:
        create(storage, TABLE)
        self.log = TableLog(storage, TABLE)
        self.table = FencedTable(self.log, Streams.of(LOG), [P0])
        assert self.table.take({P0: epoch})

    def put(self, rows: pa.Table | None = None) -> None:
        """Try once to commit with the partition's app ids."""
        files = [] if rows is None else [self.log.write(rows)]
        self.log.commit(files, NUMBERS)

    def failure_of(self, rows: pa.Table | None = None) -> Exception:
        """Return the error of an attempt; a second attempt must raise the same class."""
        with pytest.raises(Exception) as first:  # noqa: PT011 - returned to the test
            self.put(rows)
        with pytest.raises(type(first.value)):
            self.put(rows)
        return first.value


@pytest.mark.parametrize("rows", [None, some_rows(2)], ids=["offsets alone", "rows"])
def test_a_take_over_of_the_partition_is_classified_as_moved(
    storage: Storage, rows: pa.Table | None
) -> None:
    writer = Writer(storage)
    Writer(storage, epoch=2)
    error = writer.failure_of(rows)
    assert type(error) is CommitFailedError
    assert "Concurrent transaction failed" in str(error)
    assert commit_failure(error) is CommitFailure.MOVED


def delete(handle: DeltaTable) -> None:
    handle.delete("kafka_offset = 1")


def update(handle: DeltaTable) -> None:
    handle.update(updates={"agent": "'x'"}, predicate="kafka_offset = 1")


def overwrite(handle: DeltaTable) -> None:
    date = NOW.date().isoformat()
    write_deltalake(handle, some_rows(), mode="overwrite", predicate=f"date = '{date}'")


@pytest.mark.parametrize("rewrite", [delete, update, overwrite])
@pytest.mark.parametrize("rows", [None, some_rows(2)], ids=["offsets alone", "rows"])
def test_a_rewrite_while_a_handle_is_open_is_classified_as_moved(
    storage: Storage, rewrite: Any, rows: pa.Table | None
) -> None:
    writer = Writer(storage)
    writer.table.commit(some_rows(), {P0: 1})
    rewrite(storage.open(TABLE))
    error = writer.failure_of(rows)
    assert type(error) is CommitFailedError
    assert "deleted data this operation read" in str(error)
    assert commit_failure(error) is CommitFailure.MOVED
    writer.table.reopen()
    writer.put(rows)


def test_a_vacuum_while_a_handle_is_open_is_classified_as_moved(
    storage: Storage,
) -> None:
    writer = Writer(storage)
    storage.open(TABLE).alter.set_table_properties(REMOVED_RETENTION)
    error = writer.failure_of(some_rows())
    assert "Metadata changed since last commit" in str(error)
    assert commit_failure(error) is CommitFailure.MOVED
    writer.table.reopen()
    writer.put(some_rows())


def test_a_compaction_while_a_handle_is_open_is_not_a_failure(storage: Storage) -> None:
    writer = Writer(storage)
    for first in (0, 2):
        writer.table.commit(some_rows(first), {P0: first + 1})
    assert storage.open(TABLE).optimize.compact()["numFilesRemoved"] == 2
    writer.put(some_rows(4))


def test_a_log_cleaned_while_a_handle_is_idle_is_classified_as_moved(
    storage: Storage,
) -> None:
    DeltaTable.create(
        storage.uri(TABLE), EVENTS, partition_by=["date"],
        configuration={"delta.logRetentionDuration": "interval 0 seconds"},
    )  # fmt: skip
    writer = Writer(storage)
    clean_log(storage, TABLE)
    error = writer.failure_of(some_rows())
    assert "Invalid table version" in str(error)
    assert commit_failure(error) is CommitFailure.MOVED
    writer.table.reopen()
    writer.put(some_rows())


def test_too_many_concurrent_commits_are_classified_as_contention(
    storage: Storage,
) -> None:
    Writer(storage)
    late = storage.open(TABLE)
    foreign_commit(storage.open(TABLE), "other")
    with pytest.raises(CommitFailedError) as error:
        # The number in the text is the number of retries: with 0 instead of 15, a
        # single concurrent commit is enough.
        foreign_commit(late, "late", retries=0)
    assert str(error.value) == "Failed to commit transaction: 0"
    assert commit_failure(error.value) is CommitFailure.CONTENTION
    foreign_commit(late, "late")


def test_contention_is_recognized_with_any_number_of_retries_and_no_other_text() -> (
    None
):
    usual = CommitFailedError("Failed to commit transaction: 15")
    assert commit_failure(usual) is CommitFailure.CONTENTION
    other = CommitFailedError("Failed to commit transaction: 503 Service Unavailable")
    assert commit_failure(other) is CommitFailure.STORAGE


def test_a_folder_that_is_not_writable_is_classified_as_storage(
    storage: Storage,
) -> None:
    writer = Writer(storage)
    # A file in place of the folder; missing permissions would not stop root.
    Path(storage.uri(TABLE), f"date={NOW.date().isoformat()}").write_text("")
    error = writer.failure_of(some_rows())
    assert isinstance(error, OSError)
    assert commit_failure(error) is CommitFailure.STORAGE


@pytest.mark.parametrize(
    "rows", [some_rows(), None], ids=["at the rows' file", "at the log"]
)
def test_a_full_disk_is_classified_as_storage(
    storage: Storage, rows: pa.Table | None
) -> None:
    writer = Writer(storage)
    with full_disk(64):
        error = writer.failure_of(rows)
    assert isinstance(error, OSError)
    assert "File too large" in str(error)
    assert commit_failure(error) is CommitFailure.STORAGE
    writer.put(rows)


def test_creating_a_lake_below_a_file_reports_one_line_and_what_to_do(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    storage = Storage(str(tmp_path / "file" / "lake"))
    with pytest.raises(LakeError) as error:
        create(storage, TABLE)
    assert error.value.what.startswith(f"Cannot create table events in {storage.root}:")
    assert "\n" not in error.value.what
    assert error.value.todo == "Set SEMLOOP_LAKE to a folder."
    cause = error.value.__cause__
    assert isinstance(cause, Exception)
    assert commit_failure(cause) is CommitFailure.STORAGE


@pytest.mark.parametrize("gone", ["_delta_log", "."], ids=["log", "table"])
def test_a_removed_table_is_classified_as_storage_when_reopened(
    storage: Storage, gone: str
) -> None:
    writer = Writer(storage)
    shutil.rmtree(Path(storage.uri(TABLE), gone))
    # An open handle cannot distinguish it from a cleaned log; opening the table can.
    assert commit_failure(writer.failure_of()) is CommitFailure.MOVED
    with pytest.raises(StorageUnavailable) as error:
        writer.table.reopen()
    cause = error.value.__cause__
    assert isinstance(cause, Exception)
    assert commit_failure(cause) is CommitFailure.STORAGE
    assert not storage.has(TABLE)


def test_text_that_is_not_utf_8_is_classified_as_refused(storage: Storage) -> None:
    writer = Writer(storage)
    rows = some_rows(count=1)
    not_utf8 = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array(["ab"]).buffers()[1], pa.py_buffer(b"\xff\xfe")]
    )
    at = rows.column_names.index("text")
    error = writer.failure_of(rows.set_column(at, "text", not_utf8))
    assert isinstance(error, pa.ArrowInvalid)
    assert commit_failure(error) is CommitFailure.REFUSED


def test_rows_of_another_schema_are_classified_as_refused(storage: Storage) -> None:
    handle = Writer(storage).log.handle
    with pytest.raises(SchemaMismatchError) as error:
        write_deltalake(handle, pa.table({"x": [1]}), mode="append")
    assert commit_failure(error.value) is CommitFailure.REFUSED


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (pa.ArrowInvalid("Invalid UTF8 sequence"), CommitFailure.REFUSED),
        (OverflowError("int too large to convert"), CommitFailure.REFUSED),
        (pa.ArrowKeyError("no such key"), CommitFailure.REFUSED),
        (OSError(28, "No space left on device"), CommitFailure.STORAGE),
        (PermissionError(13, "Permission denied"), CommitFailure.STORAGE),
        (TimeoutError("timed out"), CommitFailure.STORAGE),
        (DeltaError("Generic S3 error: 503"), CommitFailure.STORAGE),
    ],
    ids=lambda value: (
        type(value).__name__ if isinstance(value, Exception) else value.value
    ),
)
def test_errors_without_a_known_text_are_classified_by_their_class(
    error: Exception, failure: CommitFailure
) -> None:
    assert commit_failure(error) is failure


def test_commit_asserts_the_schema_of_the_rows(storage: Storage) -> None:
    writer = Writer(storage)
    rows = some_rows()
    number = pa.array([1, 2], pa.int64())
    other = rows.set_column(rows.column_names.index("text"), "text", number)
    with pytest.raises(AssertionError):
        writer.table.commit(other, {P0: 1})
    assert storage.open(TABLE).file_uris() == []
