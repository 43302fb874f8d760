"""Artifacts check: every object that a row of `events` names is there."""

from collections.abc import Iterator
from contextlib import closing

from semloop.artifacts import FOLDER, decode_references
from semloop.command.doctor import Finding, fail, ok
from semloop.command.doctor.completeness import copy_again
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.figures import format_count
from semloop.delta.query import FileQueries
from semloop.delta.snapshot import read_snapshot
from semloop.flow_registry import ARCHIVE
from semloop.storage.listing import stored_files
from semloop.storage.location import Storage

CHECK = "artifacts"
NAMED = "SELECT artifacts FROM rows WHERE artifacts IS NOT NULL"


def check(context: CheckContext) -> Iterator[Finding]:
    """Compare the names in the rows with the objects."""
    storage = context.require_storage()
    named = _named(storage)
    # After the rows: an object is written before the row that names it.
    listed = {file.name: file.bytes for file in stored_files(storage, FOLDER)}
    missing = [name for name, size in named.items() if listed.get(name) != size]
    if not missing:
        yield ok(CHECK, f"all {format_count(len(named), 'artifact')} of the events")
        return
    found = f"{len(missing):,} of {format_count(len(named), 'artifact')} missing or "
    found += f"cut, for example {min(missing)}"
    yield fail(CHECK, found, f"{copy_again(FOLDER)} Their rows are not affected.")


def _named(storage: Storage) -> dict[str, int]:
    """Return the objects that rows name, with their sizes in bytes."""
    snapshot = read_snapshot(storage, ARCHIVE.main)
    uris = snapshot.uris(storage) if snapshot else []
    if snapshot is None or not uris or "artifacts" not in snapshot.columns:
        return {}
    with closing(FileQueries(storage)) as queries:
        found = queries.arrow(snapshot.table, uris, NAMED)["artifacts"].to_pylist()
    return {each.object: each.bytes for row in found for each in decode_references(row)}
