"""Run SQL on the files of one version of a table.

`delta_scan` would open the newest version; a writer must read the version that its own
fence created. (`DeltaTable.to_pyarrow_table` is not used: processes that called it have
aborted at exit.)
"""

import bisect
import itertools
from collections.abc import Iterable, Sequence, Set
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from semloop.delta.snapshot import FileStats, Snapshot
from semloop.delta.streams import Partition
from semloop.event_keys import KEY_SQL, id_of
from semloop.storage.duckdb_access import parquet_reader, renew_keys
from semloop.storage.errors import storage_errors

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

    from semloop.storage.location import Storage

# Files written before a column was added do not have it.
ROWS = "FROM read_parquet(?, union_by_name = true, hive_partitioning = false)"


class OpenTable(Protocol):
    """A table at the version that its handle has loaded."""

    @property
    def name(self) -> str:
        """Folder of the table in the lake."""

    @property
    def handle(self) -> "DeltaTable":
        """Handle at that version."""


class OwnedTable(OpenTable, Protocol):
    """A table of which a writer owns some partitions."""

    @property
    def owned(self) -> Sequence[Partition]:
        """The owned partitions, all of one topic."""


class FileQueries:
    """Queries on Parquet files of a lake, by an in-memory DuckDB.

    Args:
        storage: the lake.
        keep: SQL condition of the rows that the queries see.
    """

    def __init__(self, storage: "Storage", keep: str = "true") -> None:
        self._storage = storage
        self.rows = f"{ROWS} WHERE {keep}"
        self.connection = parquet_reader(storage)

    def arrow(
        self,
        table: str,
        uris: Sequence[str],
        query: str,
        values: Sequence[object] = (),
    ) -> "pa.Table":
        """Run a query and return its result.

        Args:
            table: table that the files belong to, for error messages.
            uris: paths or URLs of the files, at least one.
            query: SQL over `rows`, the rows of these files.
            values: parameters of the query.

        Raises:
            LakeError: the files cannot be read.
            StorageUnavailable: the storage is not available.
        """
        with storage_errors(self._storage, f"read table {table}"):
            renew_keys(self._storage, self.connection)
            sql = f"WITH rows AS ({self.rows}) {query}"
            result = self.connection.execute(sql, [list(uris), *values])
            return result.to_arrow_table()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


class WriterQueries:
    """Lookups of a writer in its own tables, at the version that it has loaded.

    Each method raises StorageUnavailable or LakeError if the log or the files cannot be
    read.
    """

    def __init__(self, storage: "Storage") -> None:
        self._storage = storage
        self._files = FileQueries(storage)

    def origins_beyond(
        self, table: OpenTable, topic_id: str, offset: int
    ) -> set[tuple[int, int]]:
        """Return (partition, offset) of a topic's rows beyond an offset."""
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

    def newest_keys(
        self,
        table: OwnedTable,
        topic_id: str,
        ids_max: int,
        age_ms: int,
    ) -> dict[int, tuple[list[str], list[int]]]:
        """Return the newest keys of events of each owned partition, oldest first.

        Per partition at most `ids_max` keys, and none that was ingested more than
        `age_ms` before the partition's newest one. Files ingested more than `age_ms`
        before the table's last row are skipped, so an idle partition does not cause a
        read of the whole history.

        Returns:
            Partition -> (keys, when they were ingested, in milliseconds).
        """
        owned = [partition.number for partition in table.owned]
        snapshot = self._snapshot(table) if owned and ids_max else None
        files = _recent_files(snapshot, age_ms) if snapshot else []
        if snapshot is None or not files:
            return {p: ([], []) for p in owned}
        cumulative_rows = list(itertools.accumulate(f.rows or 0 for _, f in files))
        rows_needed = ids_max * len(owned)
        while True:
            # Read the newest files first, then more until every window is complete.
            file_count = bisect.bisect_left(cumulative_rows, rows_needed) + 1
            paths = [path for path, _ in files[:file_count]]
            uris = snapshot.uris(self._storage, paths)
            rows = self._keys(table.name, uris, topic_id)
            newest = {p: _newest(rows, p, ids_max, age_ms) for p in owned}
            unread = [file for _, file in files[file_count:]]
            if not unread or all(
                len(times) >= ids_max
                and not any(_may_have_newer(file, p, times[0]) for file in unread)
                for p, (_, times) in zip(table.owned, newest.values(), strict=True)
            ):
                return newest
            rows_needed *= 4

    def existing_events(self, table: OpenTable, keys: Set[str]) -> set[str]:
        """Return those of the keys (`semloop.event_keys`) that the table contains."""
        ids = {id_of(key) for key in keys}
        return self._existing(table, "event_id", KEY_SQL, ids) & keys

    def existing_letters(self, table: OpenTable, ids: Set[str]) -> set[str]:
        """Return those of the ids of dead letters that the table contains."""
        return self._existing(table, "id", "id", ids)

    def _existing(
        self, table: OpenTable, column: str, read: str, values: Set[str]
    ) -> set[str]:
        """Return an expression over the rows whose column has one of the values."""
        import pyarrow as pa

        wanted = pa.table({"value": pa.array(sorted(values), pa.string())})
        query = (
            f"SELECT DISTINCT {read} FROM rows "  # noqa: S608 - ours
            f"SEMI JOIN wanted ON {column} = wanted.value"
        )
        snapshot = self._snapshot(table)
        self._files.connection.register("wanted", wanted)
        try:
            rows = self._rows(snapshot, snapshot.files, query)
        finally:
            self._files.connection.unregister("wanted")
        return {str(value) for (value,) in rows}

    def rows_of(
        self, table: OpenTable, query: str, values: Sequence[object] = ()
    ) -> "pa.Table":
        """Run a query over `rows`, the whole table, and return its result.

        The result for a table without files has no columns.
        """
        import pyarrow as pa

        uris = self._snapshot(table).uris(self._storage)
        if not uris:
            return pa.table({})
        return self._files.arrow(table.name, uris, query, values)

    def _snapshot(self, table: OpenTable) -> Snapshot:
        with storage_errors(self._storage, f"read table {table.name}"):
            return Snapshot.of(table.name, table.handle)

    def _keys(self, table: str, uris: Sequence[str], topic_id: str) -> "pa.Table":
        """Return partition, key and time of ingestion of a topic's rows, by offset.

        Arrow sorts them: DuckDB's sort of a million ids takes three times as long.
        """
        query = (
            f"SELECT kafka_partition, kafka_offset, {KEY_SQL} AS key, "  # noqa: S608 - ours
            "epoch_ms(ingested_at) AS ms FROM rows WHERE topic_id = ?"
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
        result = self._files.arrow(snapshot.table, uris, query, values)
        return zip(*(column.to_pylist() for column in result.columns), strict=True)


def _recent_files(snapshot: Snapshot, age_ms: int) -> list[tuple[str, FileStats]]:
    """Return the files with rows of the last `age_ms`, newest first.

    Files without statistics may have such rows; they are last.
    """
    times = {p: f.ingested_at for p, f in snapshot.files.items() if f.ingested_at}
    oldest = max(times.values(), default=None)
    if oldest is not None:
        oldest -= timedelta(milliseconds=age_ms)
        times = {path: at for path, at in times.items() if at >= oldest}
    newest = sorted(times, key=times.__getitem__, reverse=True)
    unknown = [path for path, f in snapshot.files.items() if f.ingested_at is None]
    return [(path, snapshot.files[path]) for path in newest + unknown]


def _may_have_newer(file: FileStats, partition: Partition, ms: int) -> bool:
    """Return True if a file may have rows of a partition ingested since a time.

    The newest row of a compacted file may be of a partition that is far ahead of the
    others, so a window is not complete because it is full.
    """
    return file.may_contain(partition, beyond=-1) and (
        file.ingested_at is None or file.ingested_at.timestamp() * 1_000 >= ms
    )


def _newest(
    rows: "pa.Table", partition: int, ids_max: int, age_ms: int
) -> tuple[list[str], list[int]]:
    import pyarrow.compute as pc

    own = rows.filter(pc.equal(rows["kafka_partition"], partition))
    own = own.slice(max(0, own.num_rows - ids_max))
    if own.num_rows:
        newest = own["ms"][-1].as_py()
        own = own.filter(pc.greater_equal(own["ms"], newest - age_ms))
    return own["key"].to_pylist(), own["ms"].to_pylist()
