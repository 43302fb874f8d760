"""Runs SQL on the files of one version of a table.

`delta_scan` would open the newest version; a writer must read the version that its own
fence made. (`DeltaTable.to_pyarrow_table` is not used: processes that called it have
aborted at exit.)
"""

import bisect
import itertools
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from semloop.delta.snapshot import Snapshot
from semloop.delta.streams import Partition
from semloop.storage.duckdb_access import parquet_reader, renew_keys
from semloop.storage.errors import storage_errors

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

    from semloop.storage.location import Storage

# Files that are older than a column do not have it.
ROWS = "FROM read_parquet(?, union_by_name = true, hive_partitioning = false)"


class OpenTable(Protocol):
    """A table at the version that its handle has open."""

    @property
    def name(self) -> str:
        """Its folder in the lake."""

    @property
    def handle(self) -> "DeltaTable":
        """The version."""


class OwnedTable(OpenTable, Protocol):
    """A table of which a writer owns some partitions."""

    @property
    def owned(self) -> Sequence[Partition]:
        """These partitions, all of one topic."""


class FileQueries:
    """DuckDB on the Parquet files of a lake, in memory."""

    def __init__(self, storage: "Storage") -> None:
        self._storage = storage
        self.connection = parquet_reader(storage)

    def arrow(
        self,
        table: str,
        uris: Sequence[str],
        query: str,
        values: Sequence[object] = (),
    ) -> "pa.Table":
        """The result of a query.

        Args:
            table: whose files are read, for errors.
            uris: of the files; one at least.
            query: SQL over `rows`, the rows of these files.
            values: of its placeholders.

        Raises:
            LakeError: the files cannot be read. StorageUnavailable: not now.
        """
        with storage_errors(self._storage, f"read table {table}"):
            renew_keys(self._storage, self.connection)
            sql = f"WITH rows AS ({ROWS}) {query}"
            found = self.connection.execute(sql, [list(uris), *values])
            return found.to_arrow_table()

    def close(self) -> None:
        """Free the connection."""
        self.connection.close()


class WriterQueries:
    """What a writer looks up in its own tables, at the version that it has open.

    Each method raises StorageUnavailable or LakeError when files or their list cannot
    be read.
    """

    def __init__(self, storage: "Storage") -> None:
        self._storage = storage
        self._files = FileQueries(storage)

    def origins_beyond(
        self, table: OpenTable, topic_id: str, offset: int
    ) -> set[tuple[int, int]]:
        """(partition, offset) of a topic's rows in the table beyond an offset."""
        snapshot = self._snapshot(table)
        paths = [
            path
            for path, file in snapshot.files.items()
            if file.last_offset is None or file.last_offset > offset
        ]
        query = (
            "SELECT DISTINCT kafka_partition, kafka_offset FROM rows "
            "WHERE topic_id = ? AND kafka_offset > ?"
        )
        rows = self._rows(snapshot, paths, query, [topic_id, offset])
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
        snapshot = self._snapshot(table) if owned and ids_max else None
        files = _recent_files(snapshot, age_ms) if snapshot else []
        if snapshot is None or not files:
            return {p: ([], []) for p in owned}
        rows_up_to = list(itertools.accumulate(count for _, count in files))
        wanted = ids_max * len(owned)
        while True:
            # Newest files first; more of them until every window is full.
            taken = bisect.bisect_left(rows_up_to, wanted) + 1
            uris = snapshot.uris(self._storage, [path for path, _ in files[:taken]])
            rows = self._ids(table.name, uris, topic_id)
            found = {p: _newest(rows, p, ids_max, age_ms) for p in owned}
            full = all(len(ids) >= ids_max for ids, _ in found.values())
            if full or taken >= len(files):
                return found
            wanted *= 4

    def known(self, table: OpenTable, column: str, values: Iterable[str]) -> set[str]:
        """Which of the values stand in a column of the whole table: one semi-join."""
        import pyarrow as pa

        wanted = pa.table({"value": pa.array(list(values), pa.string())})
        query = (
            f"SELECT DISTINCT {column} FROM rows "  # noqa: S608 - ours
            f"SEMI JOIN wanted ON {column} = wanted.value"
        )
        snapshot = self._snapshot(table)
        self._files.connection.register("wanted", wanted)
        try:
            rows = self._rows(snapshot, snapshot.files, query)
        finally:
            self._files.connection.unregister("wanted")
        return {str(value) for (value,) in rows}

    def rows_of(self, table: OpenTable, query: str) -> "pa.Table":
        """The result of a query over `rows`, the whole table.

        A table without files has no columns either.
        """
        import pyarrow as pa

        uris = self._snapshot(table).uris(self._storage)
        return self._files.arrow(table.name, uris, query) if uris else pa.table({})

    def _snapshot(self, table: OpenTable) -> Snapshot:
        with storage_errors(self._storage, f"read table {table.name}"):
            return Snapshot.of(table.name, table.handle)

    def _ids(self, table: str, uris: Sequence[str], topic_id: str) -> "pa.Table":
        """Partition, event id and Kafka ms of rows of a topic, in order of offsets.

        Sorted here: DuckDB's own sort of a million ids takes three times as long.
        """
        query = (
            "SELECT kafka_partition, kafka_offset, event_id, "
            "epoch_ms(kafka_ts) AS ms FROM rows WHERE topic_id = ?"
        )
        return self._files.arrow(table, uris, query, [topic_id]).sort_by("kafka_offset")

    def _rows(
        self,
        snapshot: Snapshot,
        paths: Iterable[str],
        query: str,
        values: Sequence[object] = (),
    ) -> Iterable[tuple[Any, ...]]:
        uris = snapshot.uris(self._storage, paths)
        if not uris:
            return []
        found = self._files.arrow(snapshot.table, uris, query, values)
        return zip(*(column.to_pylist() for column in found.columns), strict=True)


def _recent_files(snapshot: Snapshot, age_ms: int) -> list[tuple[str, int]]:
    """(path, rows) of files with rows of the last `age_ms`, the newest first.

    A file without statistics may have such rows, and comes last.
    """
    times = {p: f.ingested_at for p, f in snapshot.files.items() if f.ingested_at}
    oldest = max(times.values(), default=None)
    if oldest is not None:
        oldest -= timedelta(milliseconds=age_ms)
        times = {path: at for path, at in times.items() if at >= oldest}
    newest = sorted(times, key=times.__getitem__, reverse=True)
    unknown = [path for path, f in snapshot.files.items() if f.ingested_at is None]
    return [(path, snapshot.files[path].rows or 0) for path in newest + unknown]


def _newest(
    rows: "pa.Table", partition: int, ids_max: int, age_ms: int
) -> tuple[list[str], list[int]]:
    import pyarrow.compute as pc

    own = rows.filter(pc.equal(rows["kafka_partition"], partition))
    own = own.slice(max(0, own.num_rows - ids_max))
    if own.num_rows:
        newest = own["ms"][-1].as_py()
        own = own.filter(pc.greater_equal(own["ms"], newest - age_ms))
    return own["event_id"].to_pylist(), own["ms"].to_pylist()
