"""Rows, versions, files and bytes of the tables of a lake, from their logs."""

from collections.abc import Iterable
from typing import Any

from semloop import layout
from semloop.delta.snapshot import read_snapshot
from semloop.errors import SemLoopError
from semloop.settings import Settings
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from semloop.tables import TABLES


def table_stats(
    settings: Settings, names: Iterable[str] = TABLES
) -> tuple[dict[str, Any], SemLoopError | None]:
    """Return the statistics of the readable tables, and the first error."""
    found: dict[str, Any] = {}
    try:
        storage = Storage.of(settings)
        layout.check(storage)
        for name in names:
            read = _delta_stats if TABLES[name].format == "delta" else _memories_stats
            if stats := read(storage, name):
                found[name] = stats
    except SemLoopError as error:
        return found, error
    return found, None


def _delta_stats(storage: Storage, table: str) -> dict[str, Any] | None:
    snapshot = read_snapshot(storage, table)
    if snapshot is None:
        return None
    return {
        "rows": snapshot.row_count,
        "version": snapshot.version,
        "files": len(snapshot.files),
        "bytes": sum(file.size_bytes for file in snapshot.files.values()),
    }


def _memories_stats(storage: Storage, name: str) -> dict[str, Any] | None:
    """Return the statistics of the current generation; `files` are its fragments."""
    from semloop.lake import generations

    generation = generations.current(storage)
    if generation is None:
        return None
    table = generations.open_existing(storage, generation)
    if table is None:
        return None
    with storage_errors(storage, f"read table {name}", lance=True):
        # `stats` returns a dict, unlike its declared type.
        statistics: Any = table.stats()
        return {
            "rows": statistics["num_rows"],
            "version": table.version,
            "files": statistics["fragment_stats"]["num_fragments"],
            "bytes": statistics["total_bytes"],
        }
