"""Files check: data files that no version of a table has, and drafts of dead writers.

A writer that is killed between a data file and its commit writes another file when it
runs again; the first one is then in no log. The files that compaction replaced stay for
the queries that read them. A small file is written as a draft first, and then renamed
or linked.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from semloop.artifacts import FOLDER as ARTIFACTS
from semloop.command.doctor import Finding, State, left, ok, skip
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.leftovers import SAFE_HOURS, SAFE_S
from semloop.command.terminal.figures import format_bytes, format_count
from semloop.delta.unused_files import UnusedFiles, unused_files
from semloop.lake.generations import FOLDER as MEMORIES
from semloop.progress.activity import FOLDER as ACTIVITY
from semloop.settings import LOCAL_FOLDER
from semloop.storage import store_time
from semloop.storage.listing import (
    PROBE,
    remove_files,
    stored_files,
    top_files,
)
from semloop.storage.location import Storage
from semloop.storage.stored_file import StoredFile
from semloop.tables import DELTA_TABLES

CHECK = "files"
# Time for listing a table, and for reading its log if something is found; all of them
# share the 12 seconds of a check.
LIST_S, LOG_S = 1.5, 1.0
# While storage is not available.
RETRY_S = 10.0
# Folders with drafts next to those of the tables. On S3 an object has no draft.
DRAFT_FOLDERS = (ARTIFACTS, ACTIVITY, "_models", MEMORIES, LOCAL_FOLDER, "_watch")
DRAFT = re.compile(
    r"[^/]+\.\d+\.[0-9a-f]{8}"  # of semloop/storage/local_files.py
    r"|[^/]+#\d+"  # of deltalake and Lance, until the file is linked to its name
    r"|\.tmp\w+"  # of Lance
)
TOP_DRAFT = re.compile(rf"{PROBE}[0-9a-f-]+|_[a-z_]+\.json\.\d+\.[0-9a-f]{{8}}")


def check(context: CheckContext) -> Iterator[Finding]:
    """List the lake, and compare its files with the logs of the tables."""
    storage = context.require_storage()
    listing = _Listing(storage)
    now_s = store_time.now(storage).timestamp()
    hours = context.require_settings().maintenance.vacuum_hours
    unused_s = now_s - hours * 3_600
    found = [_unused(storage, table, listing, unused_s) for table in DELTA_TABLES]
    replaced = [replace(each, left=()) for each in found if each.replaced]
    data = [replace(each, replaced=()) for each in found if each.left]
    if replaced:
        # Not a fault: each run of the compaction leaves some.
        finding = _removable(storage, replaced, "that were replaced", hours)
        yield replace(finding, state=State.OK)
    if data:
        yield _removable(storage, data, "in no version of a table", hours)
    drafts = listing.drafts(now_s - SAFE_S)
    if drafts:
        what = f"{_total(drafts, 'temporary file')} of interrupted writes"
        yield _finding(what, lambda: _remove_drafts(storage, drafts), SAFE_HOURS)
    if listing.is_cut:
        reason = f"listing takes over {LIST_S:g} s a table; looked at {listing.count:,}"
        yield skip(CHECK, reason, "Run `semloop doctor` closer to the store.")
    elif not replaced and not data and not drafts:
        yield ok(CHECK, f"{format_count(listing.count, 'file')}, none left over")


class _Listing:
    """Lists folders, each until a deadline of its own, and keeps the drafts."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._drafts: list[StoredFile] = []
        self._newest_s = 0.0
        self.count = 0
        self.is_cut = False

    def files(self, *folders: str) -> Iterator[StoredFile]:
        """Yield the files below folders that are not drafts."""
        deadline_s = time.monotonic() + LIST_S
        for folder in folders:
            for file in stored_files(self._storage, folder):
                if time.monotonic() > deadline_s:
                    self.is_cut = True
                    return
                self.count += 1
                if DRAFT.fullmatch(file.name.rpartition("/")[2]):
                    self._drafts.append(file)
                else:
                    self._newest_s = max(self._newest_s, file.changed_s)
                    yield file

    def drafts(self, safe_s: float) -> list[StoredFile]:
        """Return the drafts of all folders before a time, and before the newest file.

        A clock that was set ahead makes every file old.
        """
        for _ in self.files(*(() if self._storage.on_s3 else DRAFT_FOLDERS)):
            pass
        top = [f for f in top_files(self._storage) if TOP_DRAFT.fullmatch(f.name)]
        before_s = min(safe_s, self._newest_s)
        return [file for file in (*top, *self._drafts) if file.changed_s < before_s]


def _unused(
    storage: Storage, table: str, listing: _Listing, safe_s: float
) -> UnusedFiles:
    """Return the unused files of a table; none if its log takes too long to read."""
    listed = list(listing.files(table))
    deadline_s = time.monotonic() + LOG_S
    found = unused_files(storage, table, listed, safe_s, deadline_s)
    if found is None:
        listing.is_cut = True
        return UnusedFiles(table)
    return found


def _removable(
    storage: Storage, found: list[UnusedFiles], what: str, hours: float
) -> Finding:
    files = [file for each in found for file in each.all]
    fix = lambda: _delete(storage, found, hours)  # noqa: E731
    return _finding(f"{_total(files, 'data file')} {what}", fix, hours)


def _finding(what: str, fix: Callable[[], str], hours: float) -> Finding:
    found = f"{what}, older than {hours:g} hours"
    return left(CHECK, found, fix, "removes them")


def _delete(storage: Storage, found: list[UnusedFiles], hours: float) -> str:
    """Delete data files as a vacuum does; imported late, since it needs deltalake."""
    from sinks.vacuum import delete_unused

    done = [delete_unused(storage, each, hours, RETRY_S) for each in found]
    count, size = sum(d.files for d in done), sum(d.bytes for d in done)
    return f"removed {format_count(count, 'data file')} ({format_bytes(size)})"


def _remove_drafts(storage: Storage, files: Iterable[StoredFile]) -> str:
    listed = list(files)
    count = remove_files(storage, [file.name for file in listed])
    size = format_bytes(sum(file.bytes for file in listed))
    return f"removed {format_count(count, 'temporary file')} ({size})"


def _total(files: Iterable[StoredFile], what: str) -> str:
    listed = list(files)
    size = format_bytes(sum(file.bytes for file in listed))
    return f"{format_count(len(listed), what)} ({size})"
