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
from semloop.delta.file_name import UNNUMBERED, FileName
from semloop.delta.log_entry import entry_name
from semloop.delta.removed_files import removed_files
from semloop.delta.snapshot import Snapshot, read_snapshot
from semloop.errors import SemLoopError
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
    listing = _Listing(storage)
    safe_s = store_time.now(storage).timestamp() - SAFE_S
    replaced: dict[str, StoredFile] = {}
    data: dict[str, StoredFile] = {}
    for table in DELTA_TABLES:
        for name, (file, is_replaced) in _unnamed(
            storage, table, listing, safe_s
        ).items():
            (replaced if is_replaced else data)[name] = file
    if replaced:
        what = f"{_total(replaced.values(), 'data file')} that compaction replaced"
        # Not a fault: each run of the compaction leaves some.
        yield replace(_unused(storage, what, replaced), state=State.OK)
    if data:
        what = f"{_total(data.values(), 'data file')} in no version of a table"
        yield _unused(storage, what, data)
    drafts = listing.drafts(safe_s)
    if drafts:
        what = f"{_total(drafts, 'temporary file')} of interrupted writes"
        yield _finding(what, lambda: _remove(storage, drafts, "temporary"))
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


def _unnamed(
    storage: Storage, table: str, listing: _Listing, safe_s: float
) -> dict[str, tuple[StoredFile, bool]]:
    """Return the files of a table that its log does not have, or not any more, by name.

    Each with whether compaction has replaced it. They are older than the newest file
    that the log has, too: a clock that was set ahead makes every file old.
    """
    # Listed before the log is read: what is committed meanwhile is in the log.
    listed = [f for f in listing.files(table) if f.name.endswith(DATA_FILE)]
    listed = [f for f in listed if f"/{LOG_FOLDER}/" not in f.name]
    snapshot = read_snapshot(storage, table)
    stored = _names(table, snapshot)
    newest_s = max((f.changed_s for f in listed if f.name in stored), default=0.0)
    before_s = min(safe_s, newest_s)
    found = [f for f in listed if f.name not in stored and f.changed_s < before_s]
    if snapshot is None or not found:
        return {}
    deadline_s = time.monotonic() + LOG_S
    removed = removed_files(storage, table, snapshot.version, deadline_s)
    if removed is None:
        listing.is_cut = True
        return {}
    removed_s = {f"{table}/{path}": at_s for path, at_s in removed.items()}
    compacted = _compacted(stored)
    return {
        file.name: (file, file.name in removed_s or compacted(file.name))
        for file in found
        # A query may read one that was replaced recently.
        if removed_s.get(file.name, 0.0) < safe_s
    }


def _compacted(stored: set[str]) -> Callable[[str], bool]:
    """Return a function that tells whether compacted files have the rows of a file.

    The log forgets a file a day after it was replaced; the names still tell.
    """
    ends: dict[str, int] = {}
    for name in stored:
        folder, complete_at = name.rpartition("/")[0], FileName.of(name).complete_at
        if complete_at is not None:
            ends[folder] = max(ends.get(folder, complete_at), complete_at)
    return lambda name: (
        FileName.of(name).first <= ends.get(name.rpartition("/")[0], UNNUMBERED - 1)
    )


def _names(table: str, snapshot: Snapshot | None) -> set[str]:
    return {f"{table}/{path}" for path in snapshot.files} if snapshot else set()


def _unused(storage: Storage, what: str, found: dict[str, StoredFile]) -> Finding:
    return _finding(what, lambda: _remove_data(storage, found))


def _finding(what: str, fix: Callable[[], str]) -> Finding:
    found = f"{what}, older than {SAFE_HOURS} hours"
    return left(CHECK, found, fix, "removes them")


def _remove_data(storage: Storage, found: dict[str, StoredFile]) -> str:
    """Remove the files, unless a commit names one by now."""
    tables = {name.partition("/")[0] for name in found}
    for table in tables:
        _refuse_frozen(storage, table)
    stored = set[str]().union(*(_names(t, read_snapshot(storage, t)) for t in tables))
    return _remove(storage, [f for n, f in found.items() if n not in stored], "data")


def _refuse_frozen(storage: Storage, table: str) -> None:
    """Take the next version: a frozen compaction may be about to add a file there."""
    if (snapshot := read_snapshot(storage, table)) is not None:
        entry = b'{"commitInfo": {"operation": "VACUUM START"}}'
        # If another writer was faster, its entry does the same.
        storage.create(entry_name(table, snapshot.version + 1), entry)


def _remove(storage: Storage, files: Iterable[StoredFile], kind: str) -> str:
    count = size = 0
    for file in files:
        try:
            removed = remove_files(storage, [file.name])
        except SemLoopError as error:
            what = f"{error.what} Removed before: {format_count(count, 'file')}."
            raise type(error)(what, error.todo) from error
        count, size = count + removed, size + removed * file.bytes
    return f"removed {format_count(count, f'{kind} file')} ({format_bytes(size)})"


def _total(files: Iterable[StoredFile], what: str) -> str:
    listed = list(files)
    size = format_bytes(sum(file.bytes for file in listed))
    return f"{format_count(len(listed), what)} ({size})"
