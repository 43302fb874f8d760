"""Creates the Delta tables of a lake, with the properties that flows rely on.

This is the one place where the schema of a table changes: a table of an earlier version
gets the columns that it lacks when a flow starts, or by `semloop maintain upgrade`,
never while one runs. docs/adr/0020 says which changes need more.
"""

from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import DeltaError

from schemas.arrow import arrow_schema
from semloop import layout, tables
from semloop.errors import LakeError
from semloop.storage.errors import storage_errors, translate
from semloop.storage.location import Storage

# Old log entries slow down every handle; readers use a handle for seconds at most.
LOG_RETENTION = "interval 6 hours"
# How long the log remembers files that commits removed: each checkpoint repeats
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
        LakeError: the path is not supported, a table cannot be created there, or a
            newer program has added a column.
        StorageUnavailable: the storage does not answer, or returns an error.
    """
    if found := sorted(set(storage.root) & set(PATTERN_CHARACTERS)):
        msg = f"The lake cannot be in {storage.root!r}: {' '.join(found)} in its path."
        raise LakeError(msg, "Table readers interpret these as patterns: rename it.")
    if storage.has(name):
        bring_up_to_date(storage, name)
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


def outdated(storage: Storage, name: str) -> list[str]:
    """Return the columns and properties that a table of an earlier version lacks.

    Raises:
        LakeError: a newer program has added a column, which this one cannot write.
        StorageUnavailable: the table cannot be read.
    """
    table = storage.open(name)
    return _missing_properties(table) + [f.name for f in _missing_columns(table, name)]


def bring_up_to_date(storage: Storage, name: str) -> None:
    """Add the columns and properties that a table of an earlier version lacks.

    The columns are null in the rows that exist.

    Raises:
        LakeError: a newer program has added a column, which this one cannot write.
        StorageUnavailable: another writer committed meanwhile; the caller retries.
    """
    table = storage.open(name)
    missing = _missing_columns(table, name)
    with storage_errors(storage, f"add columns to table {name}"):
        if _missing_properties(table):
            table.alter.set_table_properties(REMOVED_RETENTION)
        if missing:
            table.alter.add_columns(missing)


def _missing_properties(table: DeltaTable) -> list[str]:
    return sorted(REMOVED_RETENTION.keys() - table.metadata().configuration.keys())


def _missing_columns(table: DeltaTable, name: str) -> list[Field]:
    stored = {field.name for field in table.schema().fields}
    layout.check_columns(name, stored)
    columns = arrow_schema(tables.TABLES[name].columns)
    return [f for f in Schema.from_arrow(columns).fields if f.name not in stored]
