"""The data files that commits have removed from a table, as its log knows them.

A log remembers them for 25 hours (`delta.deletedFileRetentionDuration`), or an hour
longer than `vacuum_hours`: the files stay for the queries that read an earlier version.
"""

import io
import json
import time
from urllib.parse import unquote

from semloop.delta.log_entry import entry_name
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage


def removed_files(
    storage: Storage, table: str, version: int, deadline_s: float
) -> dict[str, float] | None:
    """Return path in the table -> Unix time at which a commit removed the file.

    Args:
        storage: the lake.
        table: folder of the table in the lake.
        version: the log is read at least up to it.
        deadline_s: when to give up, by `time.monotonic`.

    Returns:
        None if the log was cleaned up meanwhile, or takes too long to read.

    Raises:
        LakeError: the log cannot be read. StorageUnavailable: temporarily.
    """
    read = -1
    found: dict[str, float] = {}
    with storage_errors(storage, f"read table {table}"):
        hint = storage.read(f"{table}/_delta_log/_last_checkpoint")
        if hint is not None:
            read = int(json.loads(hint)["version"])
            checkpoint = storage.read(
                f"{table}/_delta_log/{read:020}.checkpoint.parquet"
            )
            if checkpoint is None:
                return None
            found = _of_checkpoint(checkpoint)
        while time.monotonic() < deadline_s:
            entry = storage.read(entry_name(table, read + 1))
            if entry is None:
                return found if read >= version else None
            found |= _of_entry(entry)
            read += 1
    return None


def _of_checkpoint(data: bytes) -> dict[str, float]:
    import pyarrow.parquet as pq

    removes = pq.read_table(io.BytesIO(data), columns=["remove"])["remove"].to_pylist()
    return dict(_removed(remove) for remove in removes if remove is not None)


def _of_entry(entry: bytes) -> dict[str, float]:
    # Lines of added files are long because of statistics, so they are not parsed.
    actions = [json.loads(line) for line in entry.splitlines() if b'"remove"' in line]
    return dict(_removed(each["remove"]) for each in actions if "remove" in each)


def _removed(remove: dict[str, object]) -> tuple[str, float]:
    removed_ms = remove.get("deletionTimestamp")
    removed_s = removed_ms / 1_000 if isinstance(removed_ms, int) else 0.0
    return unquote(str(remove["path"])), removed_s
