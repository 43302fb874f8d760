"""A lake of a few commits of two partitions each, and writers of copies of it."""

import itertools
import shutil
from datetime import timedelta
from pathlib import Path

from semloop.storage.location import Storage
from tests.sources.events_table import EventsTable

COMMITS = 4


def written(folder: Path) -> EventsTable:
    """Return a table with a few commits of two partitions each."""
    table = EventsTable(Storage(str(folder)), step=timedelta(seconds=1))
    for offset in range(COMMITS):
        append(table, offset)
    return table


def copied(lake: Path, folder: Path) -> EventsTable:
    """Return a writer, which has taken over the table of a copied lake."""
    shutil.copytree(lake, folder)
    table = EventsTable(Storage(str(folder)), step=timedelta(seconds=1))
    table.now += timedelta(seconds=COMMITS)
    return table


def append(table: EventsTable, offset: int) -> None:
    table.commit((0, offset), (1, offset))


def all_rows(commits: int) -> list[tuple[int, int]]:
    return sorted(itertools.product((0, 1), range(commits)))
