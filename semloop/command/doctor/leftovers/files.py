"""Files check: data files that no version of a table has, and drafts of dead writers.

A writer that is killed between a data file and its commit writes another file when it
runs again; the first one is then in no log. A small file is written as a draft first,
and then renamed or linked.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator

from semloop.artifacts import FOLDER as ARTIFACTS
from semloop.command.doctor import Finding, left, ok, skip
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.leftovers import SAFE_HOURS, SAFE_S
from semloop.command.terminal.figures import format_bytes, format_count
from semloop.delta.snapshot import read_snapshot
from semloop.lake.generations import FOLDER as MEMORIES
from semloop.progress.activity import FOLDER as ACTIVITY
from semloop.settings import LOCAL_FOLDER
from semloop.storage.errors import storage_errors
from semloop.storage.listing import (
    PROBE,
    remove_files,
    store_time_s,
    stored_files,
    top_files,
)
from semloop.storage.location import Storage
from semloop.storage.stored_file import StoredFile
from semloop.tables import DELTA_TABLES

CHECK = "files"
# Time for listing, of the 12 seconds of a check: `vacuum` lists once more if something
# was found. What was listed by then is judged.
LIST_S = 4.0
DATA_FILE = ".parquet"
LOG_FOLDER = "_delta_log"
# Folders with drafts next to those of the tables. On S3 an object has no draft.
DRAFT_FOLDERS = (ARTIFACTS, ACTIVITY, "_models", MEMORIES, LOCAL_FOLDER)
DRAFT = re.compile(
    r"[^/]+\.\d+\.[0-9a-f]{8}"  # of semloop/storage/local_files.py
    r"|[^/]+#\d+"  # of deltalake and Lance, until the file is linked to its name
    r"|\.tmp\w+"  # of Lance
)
TOP_DRAFT = re.compile(rf"{PROBE}[0-9a-f-]+|_[a-z_]+\.json\.\d+\.[0-9a-f]{{8}}")


def check(context: CheckContext) -> Iterator[Finding]:
    """List the lake, and compare its files with the logs of the tables."""
    storage = context.require_storage()
    listing = _Listing(storage, time.monotonic() + LIST_S)
    safe_s = store_time_s(storage) - SAFE_S
    data: dict[str, StoredFile] = {}
    for table in DELTA_TABLES:
        data |= _data_files(storage, table, listing, safe_s)
    if data:
        what = f"{_total(data.values(), 'data file')} in no version of a table"
        yield _finding(storage, what, lambda: _remove_data(storage, data))
    drafts = [file for file in listing.drafts() if file.changed_s < safe_s]
    if drafts:
        what = f"{_total(drafts, 'temporary file')} of interrupted writes"
        yield _finding(storage, what, lambda: _remove(storage, drafts, "temporary"))
    if listing.is_cut:
        reason = (
            f"listing the files takes over {LIST_S:g} s; looked at {listing.count:,}"
        )
        yield skip(CHECK, reason, "Run `semloop doctor` closer to the store.")
    elif not data and not drafts:
        yield ok(CHECK, f"{format_count(listing.count, 'file')}, none left over")


class _Listing:
    """Lists the files of some folders, until a deadline, and keeps the drafts."""

    def __init__(self, storage: Storage, deadline_s: float) -> None:
        self._storage = storage
        self._deadline_s = deadline_s
        self._drafts: list[StoredFile] = []
        self.count = 0
        self.is_cut = False

    def files(self, folder: str) -> Iterator[StoredFile]:
        """Yield the files below a folder that are not drafts."""
        for file in stored_files(self._storage, folder):
            if time.monotonic() > self._deadline_s:
                self.is_cut = True
                return
            self.count += 1
            if DRAFT.fullmatch(file.name.rpartition("/")[2]):
                self._drafts.append(file)
            else:
                yield file

    def drafts(self) -> list[StoredFile]:
        """Return the drafts of all folders."""
        for folder in () if self._storage.on_s3 else DRAFT_FOLDERS:
            for _ in self.files(folder):
                pass
        top = [f for f in top_files(self._storage) if TOP_DRAFT.fullmatch(f.name)]
        return [*top, *self._drafts]


def _data_files(
    storage: Storage, table: str, listing: _Listing, safe_s: float
) -> dict[str, StoredFile]:
    """Return the files of a table that its log does not have, by name.

    They are older than the newest file that it has, too: a clock that was set ahead
    makes every file old.
    """
    # Listed before the log is read: what is committed meanwhile is in the log.
    listed = [f for f in listing.files(table) if f.name.endswith(DATA_FILE)]
    listed = [f for f in listed if f"/{LOG_FOLDER}/" not in f.name]
    stored = _named(storage, table)
    newest_s = max((f.changed_s for f in listed if f.name in stored), default=0.0)
    found = {
        file.name: file
        for file in listed
        if file.name not in stored and file.changed_s < min(safe_s, newest_s)
    }
    return found if not found else _unused(storage, table, found)


def _named(storage: Storage, table: str) -> set[str]:
    snapshot = read_snapshot(storage, table)
    return {f"{table}/{path}" for path in snapshot.files} if snapshot else set()


def _unused(
    storage: Storage, table: str, found: dict[str, StoredFile]
) -> dict[str, StoredFile]:
    """Return those that no query of the last 24 hours may still read."""
    with storage_errors(storage, f"read table {table}"):
        vacuumed = storage.open(table).vacuum(
            SAFE_HOURS, dry_run=True, enforce_retention_duration=False, full=True
        )
    names = {f"{table}/{path}" for path in vacuumed}
    return {name: file for name, file in found.items() if name in names}


def _finding(storage: Storage, what: str, fix: Callable[[], str]) -> Finding:
    found = f"{what}, older than {SAFE_HOURS} hours"
    return left(CHECK, found, fix, "removes them")


def _remove_data(storage: Storage, found: dict[str, StoredFile]) -> str:
    """Remove the files, unless a commit names one by now."""
    names = {name.partition("/")[0] for name in found}
    stored = set[str]().union(*(_named(storage, table) for table in names))
    return _remove(storage, [f for n, f in found.items() if n not in stored], "data")


def _remove(storage: Storage, files: Iterable[StoredFile], kind: str) -> str:
    count = size = 0
    for file in files:
        removed = remove_files(storage, [file.name])
        count, size = count + removed, size + removed * file.bytes
    return f"removed {format_count(count, f'{kind} file')} ({format_bytes(size)})"


def _total(files: Iterable[StoredFile], what: str) -> str:
    listed = list(files)
    size = format_bytes(sum(file.bytes for file in listed))
    return f"{format_count(len(listed), what)} ({size})"
