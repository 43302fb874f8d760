"""Reads what one handle of a Delta table sees, no more and no less.

`delta_scan` would open the newest version; a writer must read the version that its own
fence made. Files are chosen by the statistics in the log, where those can tell.
(`DeltaTable.to_pyarrow_table` is not used: processes that called it have aborted at
exit.)
"""

import bisect
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Protocol
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from semloop.delta.streams import Partition
from semloop.storage.location import Storage
from semloop.storage.retry import reading


class OpenTable(Protocol):
    """A table at the version that its handle has open."""

    @property
    def name(self) -> str:
        """Its folder in the lake."""

    @property
    def handle(self) -> DeltaTable:
        """The version."""


class OwnedTable(OpenTable, Protocol):
    """A table of which a writer owns some partitions."""

    @property
    def owned(self) -> Sequence[Partition]:
        """These partitions, all of one topic."""


class Snapshot:
    """DuckDB on the files of tables as their handles see them.

    Every question raises StorageUnavailable when files or their list cannot be read.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._con = storage.parquet_reader()

    def settled(
        self, table: OpenTable, topic_id: str, offset: int
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
        table: OwnedTable,
        topic_id: str,
        ids_max: int,
        age_ms: int,
    ) -> dict[int, tuple[list[str], list[int]]]:
        """The newest event ids of each owned partition, oldest first.

        At most `ids_max` of a partition, none older by Kafka's timestamp than `age_ms`
        before the partition's newest, and none that was ingested so long before the
        table's last row: a long history is not read for a partition that stands still.

        Returns:
            partition -> event ids, and their Kafka timestamps in milliseconds.
        """
        owned = [partition.number for partition in table.owned]
        files = self._recent_files(table, age_ms) if owned and ids_max else []
        if not files:
            return {p: ([], []) for p in owned}
        rows_up_to = list(itertools.accumulate(count for _, count in files))
        wanted = ids_max * len(owned)
        while True:
            # Newest files first; more of them until every window is full.
            taken = bisect.bisect_left(rows_up_to, wanted) + 1
            rows = self._ids(table, topic_id, [path for path, _ in files[:taken]])
            found = {p: _newest(rows, p, ids_max, age_ms) for p in owned}
            full = all(len(ids) >= ids_max for ids, _ in found.values())
            if full or taken >= len(files):
                return found
            wanted *= 4

    def known(self, table: OpenTable, column: str, values: Iterable[str]) -> set[str]:
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

    def rows_of(self, table: OpenTable, query: str) -> pa.Table:
        """What a query over `rows`, the whole table, gives.

        None of the columns of a table without files are known: no rows, no columns.
        """
        files = self._files(table.name, table.handle)
        if not files:
            return pa.table({})
        source = "read_parquet($files, union_by_name = true)"
        sql = f"WITH rows AS (FROM {source}) {query}"
        with reading(table.name):
            return self._con.execute(sql, {"files": files}).to_arrow_table()

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

    def _recent_files(self, table: OpenTable, age_ms: int) -> list[tuple[str, int]]:
        """(path, rows) of files with rows of the last `age_ms`, the newest first."""
        actions = pa.table(table.handle.get_add_actions(flatten=True))
        if not actions.num_rows:
            return []
        ingested = actions["max.ingested_at"]
        oldest = pc.subtract(
            pc.max(ingested), pa.scalar(age_ms * 1000, pa.duration("us"))
        )
        recent = actions.filter(pc.greater_equal(ingested, oldest).fill_null(True))
        recent = recent.sort_by([("max.ingested_at", "descending")])
        root = self._storage.uri(table.name)
        paths = [f"{root}/{unquote(path)}" for path in recent["path"].to_pylist()]
        return list(zip(paths, recent["num_records"].to_pylist(), strict=True))

    def _ids(self, table: OpenTable, topic_id: str, files: Sequence[str]) -> pa.Table:
        """Partition, event id and Kafka ms of rows of a topic, in order of offsets.

        Sorted here: DuckDB's own sort of a million ids takes three times as long.
        """
        with reading(table.name):
            rows = self._con.execute(
                "SELECT kafka_partition, kafka_offset, event_id, "
                "epoch_ms(kafka_ts) AS ms FROM read_parquet(?, union_by_name = true) "
                "WHERE topic_id = ?",
                [list(files), topic_id],
            ).to_arrow_table()
        return rows.sort_by("kafka_offset")

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


def _newest(
    rows: pa.Table, partition: int, ids_max: int, age_ms: int
) -> tuple[list[str], list[int]]:
    own = rows.filter(pc.equal(rows["kafka_partition"], partition))
    own = own.slice(max(0, own.num_rows - ids_max))
    if own.num_rows:
        newest = own["ms"][-1].as_py()
        own = own.filter(pc.greater_equal(own["ms"], newest - age_ms))
    return own["event_id"].to_pylist(), own["ms"].to_pylist()
