"""Lakes with the tables that the flows would write, to test views."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from operators.episodes.sessions import Sessions
from schemas import arrow
from semloop import Lake, tables
from tests.operators.event_rows import SMALL, Row, events_table
from tests.support.builders import NOW


def append(lake: Path, table: str, rows: pa.Table) -> None:
    schema = arrow.arrow_schema(tables.TABLES[table].columns)
    stamped = [{"ingested_at": NOW, "date": NOW.date()} | r for r in rows.to_pylist()]
    write_deltalake(
        str(lake / table), pa.Table.from_pylist(stamped, schema), mode="append"
    )


def write(
    lake: Path, *batches: Sequence[Row], first: int = 0, **common: Any
) -> Sessions:
    """Write what the flows write for these batches of one partition."""
    sessions = Sessions(SMALL)
    for batch in batches:
        events = events_table(*(row | common for row in batch), first=first)
        first += len(batch)
        append(lake, "events", events)
        append(lake, "episodes", sessions.feed(events).revisions)
    return sessions


def queried(lake: Path, query: str) -> list[tuple[Any, ...]]:
    with Lake(lake) as opened:
        return opened.sql(query).fetchall()
