"""Appends rows to a table without offsets and fences."""

import pyarrow as pa

from semloop.storage.errors import translate
from semloop.storage.location import Storage
from sinks.delta.commit_error import FAILURES
from sinks.delta.parquet_file import write_file


def append_rows(storage: Storage, table: str, rows: pa.Table) -> None:
    """Append rows in one commit; after a lost reply, a retry repeats them.

    Raises:
        LakeError: the table cannot be written.
        StorageUnavailable: the storage refuses; the call may be repeated.
    """
    handle = storage.open(table)
    try:
        file = write_file(storage, table, rows, handle.version() + 1)
        handle.create_write_transaction([file], "append", handle.schema(), [])
    except FAILURES as error:
        raise translate(storage, f"commit to table {table}", error) from error
