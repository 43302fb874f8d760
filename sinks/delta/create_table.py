"""Making a Delta table of the lake, with what its readers and writers rely on."""

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from schemas.arrow import arrow_schema
from semloop import tables
from semloop.errors import LakeError
from semloop.storage.errors import translate
from semloop.storage.location import Storage

# Old log entries make every handle slower; readers hold one for seconds at most.
LOG_KEPT = "interval 6 hours"
# In paths they mean something to DuckDB, or to deltalake.
PATTERN_LETTERS = "*?[]%"


def create(storage: Storage, name: str) -> None:
    """Make a table if it is absent; of several that try at once one does.

    Args:
        storage: the lake.
        name: name of one of `tables.TABLES`.

    Raises:
        LakeError: no table can be at such a path, or none may be made.
        StorageUnavailable: the storage does not answer, or not well.
    """
    if odd := sorted(set(storage.root) & set(PATTERN_LETTERS)):
        msg = f"The lake cannot be in {storage.root!r}: {' '.join(odd)} in its path."
        raise LakeError(msg, "Table readers take these for patterns: rename it.")
    if storage.has(name):
        return
    spec = tables.TABLES[name]
    try:
        DeltaTable.create(
            storage.uri(name),
            arrow_schema(spec.columns),
            mode="ignore",
            partition_by=list(spec.partition_by),
            configuration={
                "delta.logRetentionDuration": LOG_KEPT,
                "delta.dataSkippingStatsColumns": ",".join(spec.statistics),
            },
            storage_options=storage.current_options or None,
        )
    except (DeltaError, OSError) as error:
        if storage.has(name):
            return
        raise translate(storage, f"create table {name}", error) from error
