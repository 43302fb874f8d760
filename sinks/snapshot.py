"""Reads what one handle of a Delta table sees, no more and no less.

`delta_scan` would open the newest version; a writer must read the version that its own
fence made. Files are chosen by the statistics in the log, so that the questions asked
at each start stay cheap however long the history is. (`DeltaTable.to_pyarrow_table`
is not used: processes that called it have aborted at exit.)
"""

from collections.abc import Iterable, Sequence
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from sinks.fenced_table import FencedTable


class Snapshot:
    """DuckDB on the files of tables as their handles see them."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con

    def settled(
        self, table: FencedTable, topic_id: str, offset: int
    ) -> set[tuple[int, int]]:
        """(partition, offset) of a topic's rows in the table beyond an offset."""
        files = _files(table.handle, "kafka_offset", above=offset)
        rows = self._rows(
            files,
            "SELECT DISTINCT kafka_partition, kafka_offset FROM rows "
            "WHERE topic_id = ? AND kafka_offset > ?",
            [topic_id, offset],
        )
        return {(int(p), int(o)) for p, o in rows}

    def newest_ids(
        self,
        table: FencedTable,
        topic_id: str,
        partition: int,
        ids_max: int,
        age_ms: int,
    ) -> list[tuple[str, int]]:
        """The newest (event id, Kafka ms) of a partition, oldest first.

        At most `ids_max` of them, none older than `age_ms` before the newest.
        """
        files = _files(table.handle, "kafka_ts")
        taken = 64
        while True:
            # Newest files first; more of them until the window is full.
            rows = self._rows(
                files[:taken],
                "SELECT event_id, epoch_ms(kafka_ts) FROM (SELECT * FROM rows "
                "WHERE topic_id = ? AND kafka_partition = ? "
                "ORDER BY kafka_offset DESC LIMIT ?) ORDER BY kafka_offset",
                [topic_id, partition, ids_max],
            )
            if len(rows) >= ids_max or taken >= len(files):
                break
            taken *= 8
        newest = rows[-1][1] if rows else 0
        return [(event_id, ms) for event_id, ms in rows if newest - ms <= age_ms]

    def known(self, table: FencedTable, column: str, values: Iterable[str]) -> set[str]:
        """Which of the values stand in a column of the whole table: one semi-join."""
        wanted = pa.table({"value": pa.array(list(values), pa.string())})
        self._con.register("wanted", wanted)
        try:
            rows = self._rows(
                table.handle.file_uris(),
                f"SELECT DISTINCT {column} FROM rows "  # noqa: S608 - ours
                f"SEMI JOIN wanted ON {column} = wanted.value",
                [],
            )
        finally:
            self._con.unregister("wanted")
        return {str(value) for (value,) in rows}

    def all(self, handle: DeltaTable) -> list[dict[str, Any]]:
        """Every row of a small table."""
        rows = (
            self._con.read_parquet(handle.file_uris()) if handle.file_uris() else None
        )
        return [] if rows is None else rows.to_arrow_table().to_pylist()

    def _rows(
        self, files: Sequence[str], query: str, values: Sequence[object]
    ) -> list[tuple[Any, ...]]:
        if not files:
            return []
        # Files older than a column that was added later do not have it.
        source = "read_parquet(?, union_by_name = true)"
        sql = f"WITH rows AS (FROM {source}) {query}"
        return self._con.execute(sql, [list(files), *values]).fetchall()


def _files(handle: DeltaTable, column: str, above: int | None = None) -> list[str]:
    """Files that can hold values of a column above a bound, the largest values first.

    A file without statistics can hold anything.
    """
    actions = pa.table(handle.get_add_actions(flatten=True))
    uris = list(handle.file_uris())
    largest = f"max.{column}"
    if largest not in actions.column_names:
        return uris
    names = [_name(path) for path in actions["path"].to_pylist()]
    values = dict(zip(names, actions[largest].to_pylist(), strict=True))
    found = [(values.get(_name(uri)), uri) for uri in uris]
    unknown = [uri for value, uri in found if value is None]
    known = [(v, u) for v, u in found if v is not None and (above is None or v > above)]
    return unknown + [uri for _, uri in sorted(known, reverse=True)]


def _name(path: str) -> str:
    """File names are unique; paths differ in how they are escaped."""
    return path.rsplit("/", 1)[-1]
