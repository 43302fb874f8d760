"""The log entry by which files replace those that were merged, or that lose rows.

It is put, if absent, at exactly the next version, and only while every file that it
removes is active. Therefore two maintainers of one table, one of them frozen at any
moment and continued later, never double or lose a row, without a lease; and an append
is never refused because of a merge: the entry says that it changes no data. An entry by
which rows go says that it does, and an append that meets it is refused once.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from functools import partial

import structlog

from schemas.compaction import MergedFile, Replacement
from schemas.table_parts import partition_values
from semloop.delta.log_entry import entry_name
from semloop.errors import SemLoopError, StorageUnavailable
from semloop.retry import retry
from semloop.storage import store_time
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from sinks.compaction.active_files import ActiveFiles
from sinks.delta.parquet_file import statistics_json

# A vacuum removes files without an entry after 24 hours or more. A process that was
# frozen for half a day, by the clock of the storage, must not add its file any more.
AGE_MAX = timedelta(hours=12)
# Each lost attempt means that another writer committed within milliseconds.
ATTEMPTS_MAX = 100
# As often as deltalake's writers make one.
CHECKPOINT_EVERY = 100

log = structlog.get_logger("flow")


class Outcome(Enum):
    """What became of a merged file."""

    COMMITTED = "committed"
    LOST = "lost"
    """A file of the merge is no longer active, the table was changed, or other writers
    were always faster.

    Only a vacuum deletes the new file.
    """
    TOO_OLD = "too_old"
    """The new file may be vacuumed at any moment, or was."""


def commit_merged(
    storage: Storage, active: ActiveFiles, file: MergedFile, retry_s: float
) -> Outcome:
    """Add a merged file to its table, and remove the files that it replaces.

    Arguments and errors as of `commit_replacement`.
    """
    merge = file.merge
    change = Replacement(merge.table, merge.date, merge.files, (file,))
    return commit_replacement(storage, active, change, retry_s)


def commit_replacement(
    storage: Storage, active: ActiveFiles, change: Replacement, retry_s: float
) -> Outcome:
    """Add files to a table, and remove those that they replace, in one entry.

    Args:
        storage: the lake.
        active: the files of the table; brought to the newest version.
        change: files that are completely written, and at most `FILES_MAX` to remove.
        retry_s: how long to retry while storage is unavailable, seconds.

    Raises:
        LakeError: the table is not writable. StorageUnavailable: storage did not
            recover within `retry_s`; the entry may or may not be stored.
    """
    tried: dict[int, bytes] = {}
    for _ in range(ATTEMPTS_MAX):
        # A reply may have been lost: each attempt reads the log first.
        outcome = retry(
            partial(_attempt, storage, active, change, tried),
            on=StorageUnavailable,
            seconds=retry_s,
        )
        if outcome is not None:
            return outcome
    return Outcome.LOST


def _attempt(
    storage: Storage,
    active: ActiveFiles,
    change: Replacement,
    tried: dict[int, bytes],
) -> Outcome | None:
    """Try to put the entry once; None if another writer has taken its version.

    `tried`: the entries of earlier attempts, by version; their replies may be lost.
    """
    active.follow()
    removed = {file.path for file in change.removed}
    if _is_added(active, change) or (
        # An entry below a checkpoint, put after the log was cleaned up, has no effect.
        removed.isdisjoint(active.paths)
        and any(
            storage.read(entry_name(change.table, version)) == entry
            for version, entry in tried.items()
        )
    ):
        return Outcome.COMMITTED
    if active.changed or not removed <= active.paths:
        return Outcome.LOST
    now = store_time.now(storage)
    for file in change.added:
        age = store_time.age(storage, f"{change.table}/{file.path}", now)
        if age is None or age > AGE_MAX:
            return Outcome.TOO_OLD
    version = active.version + 1
    tried[version] = _entry(change, active.numbers, now)
    if not storage.create(entry_name(change.table, version), tried[version]):
        return None
    return _checked(storage, active, change, version)


def _is_added(active: ActiveFiles, change: Replacement) -> bool:
    """Return True if the newest version has the new files; False without any."""
    added = {file.path for file in change.added}
    return bool(added) and added <= active.paths


def _checked(
    storage: Storage, active: ActiveFiles, change: Replacement, version: int
) -> Outcome:
    """Verify that the version was the next one, and make a checkpoint if it is due.

    The log may have been cleaned up between reading it and putting the entry. Then the
    entry is older than the checkpoint that every reader starts from, and has no effect.
    """
    if not active.has_own_entry():
        active.reopen()
        return Outcome.COMMITTED if _is_added(active, change) else Outcome.LOST
    make_checkpoint(storage, change.table, version)
    return Outcome.COMMITTED


def make_checkpoint(storage: Storage, table: str, version: int) -> None:
    """Make the checkpoint that is due, or that a killed process has left out.

    The entry is stored, so a failure is not one of the merge: the next one tries again.
    """
    try:
        data = storage.read(f"{table}/_delta_log/_last_checkpoint")
        last = json.loads(data)["version"] if data else -1
        if version - last < CHECKPOINT_EVERY:
            return
        with storage_errors(storage, f"write a checkpoint of table {table}"):
            storage.open(table).create_checkpoint()
    except SemLoopError as error:
        log.warning("no checkpoint", table=table, what=error.what, todo=error.todo)


def _entry(change: Replacement, stored: Mapping[str, int], now: datetime) -> bytes:
    """Return the text of the entry; times are those of the storage.

    `stored`: int64s that others have stored meanwhile.
    """
    now_ms = int(now.timestamp() * 1_000)
    partition = partition_values(change.date)
    info: dict[str, object] = {
        "timestamp": now_ms,
        "operation": "DELETE" if change.changes_data else "OPTIMIZE",
        "operationParameters": {},
        "isBlindAppend": False,
    }
    adds = [
        {
            "path": file.path,
            "partitionValues": partition,
            "size": file.size_bytes,
            "modificationTime": now_ms,
            "dataChange": change.changes_data,
            "stats": statistics_json(file.statistics),
        }
        for file in change.added
    ]
    removes = [
        {
            "path": file.path,
            "deletionTimestamp": now_ms,
            "dataChange": change.changes_data,
            "extendedFileMetadata": True,
            "partitionValues": partition,
            "size": file.size_bytes,
        }
        for file in change.removed
    ]
    numbers = [
        {"appId": name, "version": max(number, stored.get(name, number))}
        for name, number in change.numbers.items()
    ]
    actions = [
        {"commitInfo": info},
        *({"txn": number} for number in numbers),
        *({"remove": remove} for remove in removes),
        *({"add": add} for add in adds),
    ]
    return "\n".join(json.dumps(a, ensure_ascii=False) for a in actions).encode()
