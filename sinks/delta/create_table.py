"""Creates the Delta tables of a lake, with the properties that flows rely on.

This is the one place where the schema of a table changes: a table of an earlier version
gets the columns that it lacks when a flow starts, never while one runs.
"""

from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError

from schemas.arrow import arrow_schema
from semloop import tables
from semloop.errors import LakeError
from semloop.storage.errors import storage_errors, translate
from semloop.storage.location import Storage

# Old log entries slow down every handle; readers use a handle for seconds at most.
LOG_RETENTION = "interval 6 hours"
# How long the log remembers files that compaction replaced: each checkpoint repeats
# them, and with the default of a week it would be 45 MB.
REMOVED_HOURS = 25
REMOVED_RETENTION = {
    "delta.deletedFileRetentionDuration": f"interval {REMOVED_HOURS} hours"
}
# DuckDB or deltalake interpret these characters in paths.
PATTERN_CHARACTERS = "*?[]%"


def create(storage: Storage, name: str) -> None:
    """Create a table if it is absent, and add what an older one lacks.

    Concurrent calls do it once.

    Args:
        storage: the lake.
        name: name of one of `tables.TABLES`.

    Raises:
        LakeError: the path is not supported, or a table cannot be created there.
        StorageUnavailable: the storage does not answer, or returns an error.
    """
    if found := sorted(set(storage.root) & set(PATTERN_CHARACTERS)):
        msg = f"The lake cannot be in {storage.root!r}: {' '.join(found)} in its path."
        raise LakeError(msg, "Table readers interpret these as patterns: rename it.")
    if storage.has(name):
        _bring_up_to_date(storage, name)
        return
    spec = tables.TABLES[name]
    try:
        DeltaTable.create(
            storage.uri(name),
            arrow_schema(spec.columns),
            mode="ignore",
            partition_by=list(spec.partition_by),
            configuration={
                "delta.logRetentionDuration": LOG_RETENTION,
                **REMOVED_RETENTION,
                "delta.dataSkippingStatsColumns": ",".join(spec.statistics),
            },
            storage_options=storage.current_options or None,
        )
    except (DeltaError, OSError) as error:
        if storage.has(name):
            return
        raise translate(storage, f"create table {name}", error) from error


def _bring_up_to_date(storage: Storage, name: str) -> None:
    """Add what an earlier version did not have: columns, and how long removes are kept.

    The columns are null in the rows that exist.

    Raises:
        StorageUnavailable: another writer committed meanwhile; the caller retries.
    """
    table = storage.open(name)
    stored = {field.name for field in table.schema().fields}
    columns = arrow_schema(tables.TABLES[name].columns)
    missing = [f for f in Schema.from_arrow(columns).fields if f.name not in stored]
    with storage_errors(storage, f"add columns to table {name}"):
        if not REMOVED_RETENTION.keys() <= table.metadata().configuration.keys():
            table.alter.set_table_properties(REMOVED_RETENTION)
        if missing:
            table.alter.add_columns(missing)
