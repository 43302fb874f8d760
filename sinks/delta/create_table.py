"""Making a Delta table of the lake, with what its readers and writers rely on."""

from collections.abc import Sequence

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from semloop.errors import LakeError
from semloop.storage.errors import translate
from semloop.storage.location import Storage
from sinks.delta.parquet_file import STATISTICS

# Old log entries make every handle slower; readers hold one for seconds at most.
LOG_KEPT = "interval 6 hours"
# In paths they mean something to DuckDB, or to deltalake.
PATTERN_LETTERS = "*?[]%"


def create(
    storage: Storage, name: str, schema: pa.Schema, partition_by: Sequence[str]
) -> None:
    """Make a table if it is absent; of several that try at once one does.

    Raises:
        LakeError: no table can be at such a path, or none may be made.
        StorageUnavailable: the storage does not answer, or not well.
    """
    if odd := sorted(set(storage.root) & set(PATTERN_LETTERS)):
        msg = f"The lake cannot be in {storage.root!r}: {' '.join(odd)} in its path."
        raise LakeError(msg, "Table readers take these for patterns: rename it.")
    if storage.has(name):
        return
    known = ",".join(name for name in STATISTICS if name in schema.names)
    try:
        DeltaTable.create(
            storage.uri(name),
            schema,
            mode="ignore",
            partition_by=list(partition_by),
            configuration={
                "delta.logRetentionDuration": LOG_KEPT,
                "delta.dataSkippingStatsColumns": known,
            },
            storage_options=storage.current_options or None,
        )
    except (DeltaError, OSError) as error:
        if storage.has(name):
            return
        raise translate(storage, f"create table {name}", error) from error
