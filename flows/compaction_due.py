"""Whether flow `compact` has anything to do, without starting it.

NOTE: Neither Bytewax nor DuckDB is imported here: most runs of a timer find nothing to
do, and end after reading the logs.
"""

from datetime import UTC, datetime

from operators.compaction import plan
from semloop.settings import Settings
from semloop.storage.location import Storage
from sources.lake.table_dates import table_dates


def compaction_is_due(settings: Settings) -> bool:
    """Return True if a merge is due.

    Args:
        settings: the lake.

    Raises:
        LakeError: a table cannot be read, or a newer program has changed it.
        StorageUnavailable: the storage is not available.
    """
    dates = table_dates(Storage.of(settings), datetime.now(UTC).date())
    return any(plan(item) for item in dates)
