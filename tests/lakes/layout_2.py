"""Writes the lake of layout 2 that `layout-2.tar.xz` has, and what its views showed.

It runs on the last version of that layout, with the writers of that version:

    git worktree add /tmp/layout-2 3f9bcfa
    cd /tmp/layout-2
    PYTHONPATH=. python .../tests/lakes/layout_2.py .../tests/lakes/layout-2.tar.xz

The archive has the folder `lake`, and `answers.json`: view -> its rows.
"""

import json
import sys
import tarfile
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from semloop import Lake, layout
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.flows.reindex_lake import KINDS, Events
from tests.operators.event_rows import event_row, events_table
from tests.sinks.archive_builder import Archive
from tests.sinks.memory_process import MemoryProcess, lake_settings
from tests.support.builders import NOW, decoded_rows

DAYS = 3
COMMITS_PER_DAY = 6
EVENTS_PER_COMMIT = 3
VIEWS = ("events", "dead_letters", "episodes", "sessions", "memories")


def main(archive: str) -> None:
    """Write the lake into a new archive."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder, "lake")
        settings = lake_settings(lake)
        layout.bind(Storage.of(settings))
        _write(settings)
        answers = Path(folder, "answers.json")
        answers.write_text(json.dumps(_answers(settings), default=str))
        with tarfile.open(archive, "w:xz") as packed:
            for path in (lake, answers):
                packed.add(path, path.name)


def _write(settings: Settings) -> None:
    """Write what `archive` and `memory` write, commit by commit, on several days."""
    letters = Archive(Path(settings.lake)).started()
    for offset in range(4):
        good, dead = 2 * offset, 2 * offset + 1
        letters.loop.add(decoded_rows([(1, good)], [(1, dead)], {1: dead}, last=True))
        letters.now += 1
    events = Events(settings)
    now = NOW
    memory = MemoryProcess(settings, clock=lambda: now.timestamp())  # noqa: PLW0108 - it changes
    for day in range(DAYS):
        for commit in range(COMMITS_PER_DAY):
            now = NOW + timedelta(days=day, seconds=10 * commit)
            events.add(_commit(COMMITS_PER_DAY * day + commit, now - NOW))
            while memory.read(events.all, EVENTS_PER_COMMIT, None):
                pass


def _commit(number: int, after: timedelta) -> pa.Table:
    rows = []
    first = EVENTS_PER_COMMIT * number
    for offset in range(first, first + EVENTS_PER_COMMIT):
        kind = KINDS[offset % len(KINDS)]
        seconds = after.total_seconds()
        row = event_row(
            kind, f"s-{offset % 4}", seconds, ingested_s=seconds, text=f"text {offset}"
        )
        rows.append(row | {"date": row["ingested_at"].date(), "event_id": f"e{offset}"})
    return events_table(*rows, first=first)


def _answers(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    query = "FROM {} SELECT COLUMNS(c -> c NOT IN ('vector', 'features')) ORDER BY ALL"
    with Lake(settings=settings) as lake:
        found = {view: lake.sql(query.format(view)) for view in VIEWS}
        return {view: rows.to_arrow_table().to_pylist() for view, rows in found.items()}


if __name__ == "__main__":
    main(sys.argv[1])
