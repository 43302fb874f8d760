"""Whether flow `compact` has anything to do, without starting it.

NOTE: Neither Bytewax nor DuckDB is imported here: most runs of a timer find nothing to
do, and end after reading the logs.
"""

from datetime import UTC, datetime

from operators.compaction import plan
from schemas.compression import Compression
from semloop import layout
from semloop.boot_clock import Moment
from semloop.flow_registry import COMPACT, METRICS
from semloop.settings import DEFAULT_TOPIC, Settings
from semloop.settings.maintenance_section import MaintenanceSettings
from semloop.storage.location import Storage
from sinks.activity_file import ActivityFile
from sources.lake.table_dates import ColdDates, table_dates


def compaction_is_due(settings: Settings) -> bool:
    """Return True if a merge is due.

    Args:
        settings: the lake.

    Raises:
        LakeError: a table cannot be read, a newer program has changed it, or the lake
            must be upgraded first.
        StorageUnavailable: the storage is not available.
    """
    storage = Storage.of(settings)
    layout.require_current(storage)
    cold = cold_dates(settings.maintenance)
    dates = table_dates(storage, datetime.now(UTC).date(), cold=cold)
    return any(plan(item) for item in dates)


def note_run(settings: Settings) -> None:
    """Write, for `semloop health`, that a run had nothing to do."""
    activity = ActivityFile(Storage.of(settings), COMPACT.name, 0, DEFAULT_TOPIC)
    now = Moment.now()
    activity.beat(now.wall_ms, now, ended=True)


def cold_dates(settings: MaintenanceSettings) -> ColdDates:
    """Return which dates are old, and how their files are compressed."""
    days = {**settings.cold_after, METRICS.main: settings.rollup_after_days}
    level, storage_class = settings.cold_compression, settings.cold_storage_class
    return ColdDates(days, Compression(level, storage_class))
