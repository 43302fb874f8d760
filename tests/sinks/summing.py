"""Merges of sums as if all dates were old, and what they make of minutes."""

from dataclasses import replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from operators.compaction import plan
from schemas.compression import Compression
from semloop.storage.location import Storage
from sinks.compaction.log_entry import Outcome
from sinks.compaction.merged_file import write_merged
from sources.lake.table_dates import ColdDates, table_dates
from tests.sinks.compacting import commit

OLD = ColdDates({"agent_metrics": 1.0}, Compression(3))
# A later date than any with files, so that those are over.
TODAY = date(2100, 1, 1)


def compact_old(storage: Storage, table: str) -> list[Outcome]:
    """Merge the files of old dates, like flow `compact`."""
    merges = []
    for item in table_dates(storage, TODAY, [table]):
        assert item.date is not None
        due = OLD.due(table, item.date, TODAY, item.files)
        merges += plan(replace(item, closed=True, cold=due)) if due else []
    return [commit(storage, write_merged(storage, merge)) for merge in merges]


def in_days(rows: pa.Table, column: str = "minute") -> pa.Table:
    """Return rows with the beginning of the day in a column."""
    at = rows.schema.get_field_index(column)
    days = pc.floor_temporal(rows[column].cast(pa.timestamp("us", "UTC")), unit="day")
    return rows.set_column(at, column, days)
