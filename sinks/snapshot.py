"""Reads what one handle of a Delta table sees, no more and no less.

`delta_scan` would open the newest version; a writer must read the version that its own
fence made. Files are chosen by the statistics in the log, where those can tell.
(`DeltaTable.to_pyarrow_table` is not used: processes that called it have aborted at
exit.)
"""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from semloop.storage import Storage
from sinks.fenced_table import FencedTable
from sinks.storage_errors import reading


class Snapshot:
    """DuckDB on the files of tables as their handles see them.

    Every question raises StorageUnavailable when files or their list cannot be read.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._con = storage.parquet_reader()

    def settled(
        self, table: FencedTable, topic_id: str, offset: int
    ) -> set[tuple[int, int]]:
        """(partition, offset) of a topic's rows in the table beyond an offset."""
        files = self._files(table.name, table.handle, "kafka_offset", offset)
        rows = self._rows(
            table.name,
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
        files = self._files(table.name, table.handle, "kafka_ts")
        taken = 64
        while True:
            # Newest files first; more of them until the window is full.
            rows = self._rows(
                table.name,
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
                table.name,
                self._files(table.name, table.handle),
                f"SELECT DISTINCT {column} FROM rows "  # noqa: S608 - ours
                f"SEMI JOIN wanted ON {column} = wanted.value",
                [],
            )
        finally:
            self._con.unregister("wanted")
        return {str(value) for (value,) in rows}

    def all(self, table: str) -> list[dict[str, Any]]:
        """Every row of a small table, as it is now."""
        with reading(table):
            files = self._files(table, self._storage.open(table))
            if not files:
                return []
            rows: list[dict[str, Any]] = (
                self._con.read_parquet(files).to_arrow_table().to_pylist()
            )
            return rows

    def _files(
        self, table: str, handle: DeltaTable, column: str = "", above: int | None = None
    ) -> list[str]:
        """Files that can hold values of a column above a bound, the largest first.

        A file without statistics can hold anything. Paths are put together here:
        `file_uris` escapes them as URLs, which DuckDB would take literally.
        """
        actions = pa.table(handle.get_add_actions(flatten=True))
        root = self._storage.uri(table)
        paths = [f"{root}/{unquote(path)}" for path in actions["path"].to_pylist()]
        largest = f"max.{column}"
        if largest not in actions.column_names:
            return paths
        found = list(zip(actions[largest].to_pylist(), paths, strict=True))
        unknown = [path for value, path in found if value is None]
        known = [
            (value, path)
            for value, path in found
            if value is not None and (above is None or value > above)
        ]
        return unknown + [path for _, path in sorted(known, reverse=True)]

    def _rows(
        self, table: str, files: Sequence[str], query: str, values: Sequence[object]
    ) -> list[tuple[Any, ...]]:
        if not files:
            return []
        # Files older than a column that was added later do not have it.
        source = "read_parquet(?, union_by_name = true)"
        sql = f"WITH rows AS (FROM {source}) {query}"
        with reading(table):
            return self._con.execute(sql, [list(files), *values]).fetchall()
