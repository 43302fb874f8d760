"""The data files of a table that its newest version does not have.

A file that a commit removed, by compaction for example, stays for the queries that read
an earlier version. A file that a killed writer left is in no version.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from semloop.delta.file_name import BEFORE_ALL, FileName
from semloop.delta.removed_files import removed_files
from semloop.delta.snapshot import Snapshot, read_snapshot
from semloop.storage.location import Storage
from semloop.storage.stored_file import StoredFile

DATA_FILE = ".parquet"


@dataclass(frozen=True)
class UnusedFiles:
    """Files of `table` without a version, by their names in the lake.

    `replaced`: a commit has removed them. `left`: all others.
    """

    table: str
    replaced: tuple[StoredFile, ...] = ()
    left: tuple[StoredFile, ...] = ()

    @property
    def all(self) -> tuple[StoredFile, ...]:
        """Both."""
        return self.replaced + self.left


def unused_files(
    storage: Storage,
    table: str,
    listed: Iterable[StoredFile],
    safe_s: float,
    deadline_s: float = math.inf,
) -> UnusedFiles | None:
    """Return the files that were unused at a time.

    They are older than the newest file of the table, too: a clock that was set ahead
    makes every file old.

    Args:
        storage: the lake.
        table: folder of the table in the lake.
        listed: all files of that folder.
        safe_s: Unix time by the clock of the storage.
        deadline_s: when to give up, by `time.monotonic`.

    Returns:
        None if the log was cleaned up meanwhile, or takes too long to read.

    Raises:
        LakeError: the log cannot be read. StorageUnavailable: temporarily.
    """
    # Listed before the log is read: what is committed meanwhile is in the log.
    everything = list(listed)
    snapshot = read_snapshot(storage, table)
    if snapshot is None:
        return UnusedFiles(table)
    stored = names_of(snapshot)
    data = [file for file in everything if _is_data(file.name)]
    newest = [file for file in data if file.name in stored] or everything
    before_s = min(safe_s, max((f.changed_s for f in newest), default=0.0))
    found = [f for f in data if f.name not in stored and f.changed_s < before_s]
    if not found:
        return UnusedFiles(table)
    removed = removed_files(storage, table, snapshot.version, deadline_s)
    if removed is None:
        return None
    removed_s = {f"{table}/{path}": at_s for path, at_s in removed.items()}
    made_s = _replacement_times(file for file in data if file.name in stored)
    replaced, left = [], []
    for file in found:
        # The log forgets a removed file after a time; its replacement is as old.
        unused_s = removed_s.get(file.name) or made_s(file.name)
        if unused_s is None:
            left.append(file)
        elif unused_s < safe_s:
            replaced.append(file)
    return UnusedFiles(table, tuple(replaced), tuple(left))


def names_of(snapshot: Snapshot) -> set[str]:
    """Return the names in the lake of a version's files."""
    return {f"{snapshot.table}/{path}" for path in snapshot.files}


def _is_data(name: str) -> bool:
    """Return True for a data file: not of the log or another folder of that kind."""
    folders = name.split("/")[1:-1]
    return name.endswith(DATA_FILE) and not any(f.startswith("_") for f in folders)


def _replacement_times(
    active: Iterable[StoredFile],
) -> Callable[[str], float | None]:
    """Return a function from a file's name to when its rows were compacted, or None.

    The time is that of the newest file that may have them; it may be too late.
    """
    made = defaultdict(list)
    for file in sorted(active, key=lambda file: -file.changed_s):
        if (name := FileName.of(file.name)).complete_at is not None:
            made[file.name.rpartition("/")[0]].append((file.changed_s, name))

    def made_s(name: str) -> float | None:
        old = FileName.of(name)
        # An upgrade gives this number to the rows of files that have none.
        first = max(old.first, BEFORE_ALL)
        for at_s, new in made.get(name.rpartition("/")[0], ()):
            covers = new.first <= first <= (new.complete_at or 0)
            if covers and new.level > old.level:
                return at_s
        return None

    return made_s
