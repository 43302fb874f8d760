"""A restart of `Sessions`: restored from rows that it returned, as the flow does."""

from collections.abc import Iterable, Sequence
from functools import cache

import duckdb
import pyarrow as pa

from operators.episodes.sessions import Sessions
from schemas.arrow import EPISODE_REVISIONS, EPISODES
from semloop.settings.memory_sections import EpisodeSettings
from sinks.session_rows import RESTORED
from tests.operators.event_rows import Row
from tests.support.builders import NOW


def restored(
    rows: Iterable[Row], settings: EpisodeSettings, missing: Sequence[str] = ()
) -> Sessions:
    """Return sessions that continue from all rows so far, of one partition.

    `missing`: columns that the stored files do not have.
    """
    stamped = [{"ingested_at": NOW, "date": NOW.date()} | row for row in rows]
    stored = pa.Table.from_pylist(stamped, EPISODES).drop_columns(list(missing))
    query = f"WITH rows AS (FROM stored) {RESTORED}"
    connection = _connection().register("stored", stored)
    values = [settings.open_episodes_total]
    found = connection.execute(query, values).to_arrow_table()
    kept = found.select(EPISODE_REVISIONS.names).cast(EPISODE_REVISIONS)
    return Sessions.of(kept, settings)


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    """Return the connection of all tests: opening one takes longer than the query."""
    return duckdb.connect(config={"threads": 1})
