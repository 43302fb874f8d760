"""Appends rows to a table without offsets and fences."""

import pyarrow as pa

from semloop.delta.log_entry import entry_name
from semloop.delta.snapshot import Snapshot
from semloop.errors import StorageUnavailable
from semloop.storage.errors import translate
from semloop.storage.location import Storage
from sinks.delta.commit_error import FAILURES
from sinks.delta.parquet_file import write_file


def append_rows(storage: Storage, table: str, rows: pa.Table) -> None:
    """Append rows in one commit; after a lost reply, a retry repeats them.

    The log may be cleaned up while the process is suspended before it puts the commit,
    which is then older than a checkpoint, and in no version. So it is looked for if the
    entry before it is gone.

    Raises:
        LakeError: the table cannot be written.
        StorageUnavailable: the storage refuses; the call may be repeated.
    """
    handle = storage.open(table)
    try:
        before = handle.version()
        file = write_file(storage, table, rows, before + 1)
        handle.create_write_transaction([file], "append", handle.schema(), [])
        if storage.read(entry_name(table, before)) is None:
            _require_file(storage, table, file.path)
    except FAILURES as error:
        raise translate(storage, f"commit to table {table}", error) from error


def _require_file(storage: Storage, table: str, path: str) -> None:
    if path not in Snapshot.of(table, storage.open(table)).files:
        msg = f"The log of table {table} was cleaned up during a commit."
        raise StorageUnavailable(msg, "Nothing is lost: the commit is repeated.")
