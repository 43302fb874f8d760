"""Tables check: every log can be read, and every file that it names is there."""

from collections.abc import Iterator, Mapping

from semloop.command.doctor import Finding, fail, ok
from semloop.command.doctor.completeness import AGAIN, copy_again
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.figures import format_count
from semloop.delta.snapshot import FileStats, Snapshot, read_snapshot
from semloop.errors import LakeError, StorageUnavailable
from semloop.storage.listing import stored_files
from semloop.storage.location import Storage, log_damage_of
from semloop.tables import DELTA_TABLES

CHECK = "tables"


def check(context: CheckContext) -> Iterator[Finding]:
    """Compare the log of each table with the files in its folder."""
    storage = context.require_storage()
    found = {table: _table(storage, table) for table in DELTA_TABLES}
    if found["streams"] is None and found["events"] is not None:
        yield fail(CHECK, "streams is missing", copy_again("streams"))
    findings = [finding for finding in found.values() if finding]
    yield from findings or [ok(CHECK, "no table yet")]


def _table(storage: Storage, table: str) -> Finding | None:
    """Return the finding of one table; None without files."""
    try:
        # Before the folder is listed: what is committed later is not looked for.
        snapshot = read_snapshot(storage, table)
        # The library reads an empty entry as one without changes.
        damage = log_damage_of(storage, table)
    except (LakeError, StorageUnavailable) as error:
        damage = error.what
    if damage:
        what = f"the log of {table} cannot be read: {damage}"
        return fail(CHECK, what, _todo(table, f"{table}/_delta_log"))
    listed = {file.name: file.bytes for file in stored_files(storage, table)}
    if snapshot is None:
        if not listed:
            return None
        what = f"{table} has {format_count(len(listed), 'file')}, but no log"
        return fail(CHECK, what, _todo(table, f"{table}/_delta_log"))
    missing = {
        path: stats
        for path, stats in snapshot.files.items()
        if listed.get(f"{table}/{path}") != stats.size_bytes
    }
    return _missing(snapshot, missing) if missing else _complete(snapshot)


def _complete(snapshot: Snapshot) -> Finding:
    files = format_count(len(snapshot.files), "data file")
    return ok(CHECK, f"{snapshot.table}, version {snapshot.version:,}: all {files}")


def _missing(snapshot: Snapshot, missing: Mapping[str, FileStats]) -> Finding:
    table, counts = snapshot.table, [stats.rows for stats in missing.values()]
    rows = format_count(sum(count or 0 for count in counts), "row")
    what = f"{table}, version {snapshot.version:,}: {len(missing):,} of "
    what += f"{format_count(len(snapshot.files), 'data file')} missing or cut, with "
    what += f"{'at least ' if None in counts else ''}{rows}; for example "
    what += f"{table}/{min(missing)}"
    return fail(CHECK, what, _todo(table, table))


def _todo(table: str, folder: str) -> str:
    todo = copy_again(folder)
    if table in AGAIN:
        todo += f" If the source is gone, remove the folder, and {AGAIN[table]}."
    return todo
