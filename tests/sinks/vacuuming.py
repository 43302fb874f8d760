"""Lakes to vacuum, and files that look old."""

import os
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from semloop.delta.unused_files import UnusedFiles, unused_files
from semloop.storage.listing import stored_files
from semloop.storage.location import Storage
from sinks.vacuum import Deleted, delete_unused
from tests.sinks.compacting import SteppedStorage, data_files
from tests.sources.events_table import EventsTable

COMMITS = 4
HOUR_S = 3_600.0
OLD_S = 25 * HOUR_S


@dataclass(frozen=True)
class VacuumedStorage(SteppedStorage):
    """Steps before a table is opened, too."""

    def open(self, table: str, version: int | None = None) -> Any:
        self.before("open", table)
        return super().open(table, version)


def written(folder: Path) -> EventsTable:
    table = EventsTable(Storage(str(folder)), step=timedelta(seconds=1))
    for offset in range(COMMITS):
        table.commit((0, offset))
    return table


def all_rows(commits: int) -> list[tuple[int, int]]:
    return [(0, offset) for offset in range(commits)]


def unused(storage: Storage, hours: float) -> UnusedFiles:
    found = None
    while found is None:  # the log was cleaned up meanwhile
        files = stored_files(storage, "events")
        safe_s = time.time() - hours * HOUR_S
        found = unused_files(storage, "events", files, safe_s)
    return found


def vacuum(storage: Storage, hours: float = 0.0) -> Deleted:
    return delete_unused(storage, unused(storage, hours), 24, 60.0)


def make_old(storage: Storage, seconds: float = OLD_S) -> None:
    """Make the files that no version has look as if they were written earlier."""
    active = set(storage.open("events").file_uris())
    for path in data_files(storage):
        if str(path) not in active:
            old_s = path.stat().st_mtime - seconds
            os.utime(path, (old_s, old_s))


def vacuum_old(storage: Storage) -> Deleted:
    """Vacuum after the files without a version have become a day older."""
    make_old(storage)
    return vacuum(storage, 24)
