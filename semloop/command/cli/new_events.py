"""Finds events as they are committed, and reads no file twice.

A look costs a millisecond while nothing is committed: the table's version is asked, and
files are listed only when it moved. Of the files that are new since the last look, rows
up to the offset that their partition had reached are left out: a compaction has only
written them anew. That is exact, since `archive` commits every partition in the order
of its offsets, whatever the clocks of several workers say.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from semloop import tables
from semloop.command.cli.lookup import FETCH_ROWS, IN_ORDER
from semloop.command.terminal.output import Row
from semloop.settings import Settings
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyConnection

EVENTS = "events"
STREAMS = "streams"
# Files that may hold the last events: at first so many, then four times as many.
FILES_FIRST = 4
# What the log says of each file.
NEWEST = "max.ingested_at"
COLUMNS = [name for name in tables.EVENTS if name != "date"]


class NewEvents:
    """The events of a lake, each once, the newest at the start and then what comes.

    Args:
        settings: the lake; it need not exist yet.
        columns: what of each event is wanted, in SQL.
        where: the condition on events, in SQL.
        values: its values.
    """

    def __init__(
        self,
        settings: Settings,
        columns: Sequence[str],
        where: str,
        values: Sequence[object],
    ) -> None:
        from semloop.delta.table import FollowedTable

        self._storage = Storage.of(settings)
        self._columns = ", ".join(columns)
        self._where, self._values = where, list(values)
        self._table = FollowedTable(self._storage, EVENTS)
        self._version = -1
        self._files: set[str] = set()
        self._con: DuckDBPyConnection = self._storage.parquet_reader()
        # Empty, with every column: one that old files lack is then NULL.
        columns_sql = ", ".join(f"{n} {t}" for n, t in tables.EVENTS.items())
        self._con.execute(f"CREATE TABLE none ({columns_sql})")
        self._con.execute(
            "CREATE TABLE met (topic_id VARCHAR, kafka_partition INTEGER, "
            "last_offset BIGINT, PRIMARY KEY (topic_id, kafka_partition))"
        )

    def last(self, count: int) -> list[Row]:
        """The last events that are there, oldest first; what comes later is new.

        Raises:
            LakeError: the lake cannot be read. StorageUnavailable: not now.
        """
        with self._told():
            handle = self._newest()
            if handle is None:
                return []
            self._meet(handle)
            newest = _newest_times(handle)
            paths = self._paths(newest)
            rows = (
                self._last(paths, list(newest.values()), count)
                if count and paths
                else []
            )
            self._files, self._version = set(newest), handle.version()
            return rows

    def look(self) -> Iterator[Row] | None:
        """Events that were committed since the last look; None if there is no table.

        All files are read before the first row is given, so an error loses nothing and
        repeats nothing: the next look finds the same events.

        Raises:
            LakeError: the lake cannot be read. StorageUnavailable: not now.
        """
        with self._told():
            handle = self._newest()
            if handle is None:
                return None
            if handle.version() == self._version:
                return iter(())
            files = _newest_times(handle)
            added = [path for path in files if path not in self._files]
            rows = self._new_rows(self._paths(added)) if added else iter(())
            self._files, self._version = set(files), handle.version()
            return rows

    def _newest(self) -> "DeltaTable | None":
        """The table as it is now; None if it is absent."""
        if not self._storage.has(EVENTS):
            self._table.forget()
            return None
        handle = self._table.newest()
        if self._table.opened:
            # Of a table made again even the same version holds other files.
            self._version = -1
        return handle

    def _meet(self, handle: "DeltaTable") -> None:
        """Take the offset that each partition has reached from the commits."""
        from semloop.delta.snapshot import Snapshot
        from semloop.delta.streams import StreamId

        # Read after the events: whoever is not named yet has no rows there.
        streams = (
            Snapshot(self._storage).all(STREAMS) if self._storage.has(STREAMS) else []
        )
        for row in streams:
            if row["table_name"] == EVENTS:
                names = (row["flow"], row["cluster_id"], row["topic"], row["topic_id"])
                app_id = StreamId(*names).app_id(EVENTS, row["kafka_partition"])
                last_offset = handle.transaction_version(app_id)
                if last_offset is not None:
                    origin = (row["topic_id"], row["kafka_partition"])
                    self._reached("SELECT ?, ?, ?", *origin, last_offset)

    def _reached(self, query: str, *values: object) -> None:
        self._con.execute(
            f"INSERT INTO met {query} ON CONFLICT DO UPDATE "
            "SET last_offset = greatest(last_offset, excluded.last_offset)",
            list(values),
        )

    def _last(
        self, paths: Sequence[str], newest: Sequence[datetime], count: int
    ) -> list[Row]:
        """The last rows of files that are sorted by their newest row."""
        taken = FILES_FIRST
        while True:
            self._storage.renew_keys(self._con)
            rows = self._con.execute(
                f"WITH stored AS ({STORED}), newest AS ("  # noqa: S608 - ours
                f"FROM stored WHERE {self._where} ORDER BY ingested_at DESC, "
                "kafka_ts DESC, kafka_partition DESC, kafka_offset DESC LIMIT ?) "
                f"SELECT ingested_at, {self._columns} FROM newest ORDER BY {IN_ORDER}",
                [paths[:taken], *self._values, count],
            ).fetchall()
            full = len(rows) == count  # And older files hold older rows only?
            if taken >= len(paths) or (
                full and newest[taken] < min(row[0] for row in rows)
            ):
                return [row[1:] for row in rows]
            taken *= 4

    def _new_rows(self, paths: Sequence[str]) -> Iterator[Row]:
        """Rows of these files beyond the offsets that were met; meets them."""
        self._storage.renew_keys(self._con)
        cursor = self._con.cursor()
        cursor.execute(
            f"WITH stored AS ({STORED}) SELECT {self._columns} FROM ("  # noqa: S608
            "SELECT stored.* FROM stored LEFT JOIN met "
            "USING (topic_id, kafka_partition) "
            "WHERE kafka_offset > coalesce(last_offset, -1)) "
            f"WHERE {self._where} ORDER BY {IN_ORDER}",
            [list(paths), *self._values],
        )
        first = cursor.fetchmany(FETCH_ROWS)
        self._reached(
            "SELECT topic_id, kafka_partition, max(kafka_offset) "  # noqa: S608 - ours
            f"FROM ({STORED}) GROUP BY ALL",
            list(paths),
        )
        return _fetched(first, cursor)

    def _paths(self, files: Sequence[str] | Mapping[str, object]) -> list[str]:
        root = self._storage.uri(EVENTS)
        return [f"{root}/{unquote(path)}" for path in files]

    @contextmanager
    def _told(self) -> Iterator[None]:
        import duckdb
        from deltalake.exceptions import DeltaError

        # DuckDB calls a Parquet file that ends too early an invalid input.
        errors = (DeltaError, OSError, duckdb.IOException, duckdb.InvalidInputException)
        try:
            yield
        except errors as error:
            raise self._storage.trouble(error) from error
        except RuntimeError:
            self._con.interrupt()
            raise


STORED = (
    "FROM none UNION ALL BY NAME "
    "FROM read_parquet(?, union_by_name = true, hive_partitioning = false)"
)


def _newest_times(handle: "DeltaTable") -> dict[str, datetime]:
    """The files of a table and when their last row was ingested, the newest first."""
    import pyarrow as pa

    actions: Any = pa.table(handle.get_add_actions(flatten=True))
    if not actions.num_rows:
        return {}
    # A file without statistics may hold anything.
    unknown = datetime.max.replace(tzinfo=UTC)
    times = [unknown] * actions.num_rows
    if NEWEST in actions.column_names:
        times = [at or unknown for at in actions[NEWEST].to_pylist()]
    found = zip(actions["path"].to_pylist(), times, strict=True)
    return dict(sorted(found, key=lambda file: file[1], reverse=True))


def _fetched(first: list[Any], cursor: "DuckDBPyConnection") -> Iterator[Row]:
    rows = first
    while rows:
        yield from rows
        rows = cursor.fetchmany(FETCH_ROWS)
