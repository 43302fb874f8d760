"""The sink of the flow `vacuum`: deletes data files that no version of a table has.

Artifacts that no row names go, too. Nothing else deletes data files.

An entry is put in the log first, and then the log is read again. The entry repeats the
table's metadata, so every commit on top of an earlier version is refused once. A
process that was frozen right before its commit then checks the age of its file: none is
added after 12 hours (`sinks/compaction/log_entry.py`, `sinks/delta/ownership.py`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import structlog

from semloop.artifacts import FOLDER as ARTIFACTS
from semloop.delta.removed_files import removed_files
from semloop.delta.snapshot import read_snapshot
from semloop.delta.unused_files import UnusedFiles, names_of
from semloop.errors import SemLoopError, StorageUnavailable
from semloop.flow_registry import VACUUM
from semloop.retry import retry
from semloop.storage.errors import storage_errors
from semloop.storage.listing import remove_files
from semloop.storage.location import Storage
from semloop.storage.stored_file import StoredFile
from sinks.delta.create_table import REMOVED_HOURS, REMOVED_RETENTION
from sinks.flow_tables import FlowContext

# One request of an object store.
FILES_AT_A_TIME = 1_000

log = structlog.get_logger("flow")


class Deleted(NamedTuple):
    """How many files were deleted, or would be."""

    files: int = 0
    bytes: int = 0


@dataclass
class Report:
    """What a run of `vacuum` has done.

    Attributes:
        deleted: table -> its files.
        failed: tables that could not be vacuumed; the log has the causes.
    """

    deleted: dict[str, Deleted] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def fail(self, table: str, error: SemLoopError) -> None:
        """Record that a table cannot be vacuumed now; the others are."""
        self.failed.add(table)
        what = {"what": error.what, "todo": error.todo}
        log.error("vacuum failed", flow=VACUUM.name, table=table, **what)


class VacuumedTables:
    """Deletes the unused files of tables.

    Unit of parallelism: a table. Guarantee: it may be stopped at any moment and run
    again, and several may run at a time; no file of the newest version is deleted, and
    none that was replaced less than `vacuum_hours` ago.
    """

    def __init__(self, context: FlowContext, report: Report, *, dry_run: bool) -> None:
        """Open no table yet.

        Args:
            context: settings and lake.
            report: receives the counts.
            dry_run: count the files, and delete none.
        """
        self._context = context
        self._report = report
        self._dry_run = dry_run

    def add(self, item: UnusedFiles) -> None:
        """Delete the unused files of one table; an error is logged."""
        settings = self._context.settings
        if self._dry_run:
            deleted = Deleted(len(item.all), sum(file.bytes for file in item.all))
        else:
            hours = settings.maintenance.vacuum_hours
            seconds = settings.commits.storage_retry_s
            storage = self._context.storage
            try:
                if item.table == ARTIFACTS:  # not a table: nothing adds one later
                    deleted = _delete(storage, item.all)
                else:
                    deleted = delete_unused(storage, item, hours, seconds)
            except SemLoopError as error:
                self._report.fail(item.table, error)
                return
            if deleted.files:
                counts = deleted._asdict()
                log.info("deleted", flow=VACUUM.name, table=item.table, **counts)
        self._report.deleted[item.table] = deleted


def delete_unused(
    storage: Storage, unused: UnusedFiles, hours: float, retry_s: float
) -> Deleted:
    """Delete files of a table, unless a commit has added one by now.

    Args:
        storage: the lake.
        unused: files that no version had `hours` ago or since.
        hours: how long the log remembers the files that commits remove, at least.
        retry_s: how long to retry while storage is unavailable, seconds.

    Raises:
        LakeError: the storage refuses; the error tells how many were deleted before.
        StorageUnavailable: it did not recover within `retry_s`.
    """
    if not unused.all:
        return Deleted()
    put = partial(_put_entry, storage, unused.table, hours)
    retry(put, on=StorageUnavailable, seconds=retry_s)
    return _delete(storage, _still_unused(storage, unused))


def _still_unused(storage: Storage, unused: UnusedFiles) -> list[StoredFile]:
    """Return the files that no commit has added since they were looked up.

    Such a file may be replaced by now: queries on the version before still read it.
    """
    snapshot = read_snapshot(storage, unused.table)
    if snapshot is None:
        return []
    stored = names_of(snapshot)
    replaced = [file for file in unused.replaced if file.name not in stored]
    left = [file for file in unused.left if file.name not in stored]
    if not left:
        return replaced
    removed = removed_files(storage, unused.table, snapshot.version, math.inf)
    if removed is None:  # the log was cleaned up meanwhile: the next run deletes them
        return replaced
    known = {f"{unused.table}/{path}" for path in removed}
    return replaced + [file for file in left if file.name not in known]


def _delete(storage: Storage, files: Sequence[StoredFile]) -> Deleted:
    deleted = Deleted()
    for start in range(0, len(files), FILES_AT_A_TIME):
        part = files[start : start + FILES_AT_A_TIME]
        try:
            count = remove_files(storage, [file.name for file in part])
        except SemLoopError as error:
            what = f"{error.what} Deleted before: {deleted.files:,} files."
            raise type(error)(what, error.todo) from error
        size = sum(file.bytes for file in part)
        deleted = Deleted(deleted.files + count, deleted.bytes + size)
    return deleted


def _put_entry(storage: Storage, table: str, hours: float) -> None:
    """Put the entry; it also says how long the log remembers removed files.

    Raises:
        LakeError: the table is not writable.
        StorageUnavailable: temporarily, or another program changed the metadata.
    """
    kept = f"interval {max(REMOVED_HOURS, math.ceil(hours) + 1)} hours"
    with storage_errors(storage, f"vacuum table {table}"):
        handle = storage.open(table)
        handle.alter.set_table_properties(dict.fromkeys(REMOVED_RETENTION, kept))
