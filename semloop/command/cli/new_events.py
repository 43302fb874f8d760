"""Reads new events as they are committed, and no file twice.

A poll without a new commit takes a millisecond: it reads the table's version and lists
files only if it changed. In new files, rows up to the last read offset of their
partition are skipped, because a compaction only rewrote them. This is exact: `archive`
commits each partition in the order of its offsets, independent of the workers' clocks.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from semloop import tables
from semloop.command.cli.lake_queries import FETCH_ROWS, IN_ORDER
from semloop.command.terminal.output import Row
from semloop.delta.query import ROWS
from semloop.delta.snapshot import Snapshot, new_files
from semloop.delta.streams_table import read_streams
from semloop.delta.table import TableFollower
from semloop.settings import Settings
from semloop.storage.duckdb_access import parquet_reader, renew_keys
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EVENTS = "events"
# Number of newest files searched for the last events; four times as many in each retry.
FILES_FIRST = 4
COLUMNS = [name for name in tables.EVENTS if name != "date"]
STORED = f"FROM no_events UNION ALL BY NAME {ROWS}"
# Newest time of a file without statistics, which may contain any row.
UNKNOWN = datetime.max.replace(tzinfo=UTC)


class NewEvents:
    """Returns the last events of a lake, then each new event once.

    Args:
        settings: the lake; it need not exist yet.
        columns: expressions to return for each event, in SQL.
        where: the condition on events, in SQL.
        values: parameters of the condition.
    """

    def __init__(
        self,
        settings: Settings,
        columns: Sequence[str],
        where: str,
        values: Sequence[object],
    ) -> None:
        self._storage = Storage.of(settings)
        self._columns = ", ".join(columns)
        self._where, self._values = where, list(values)
        self._table = TableFollower(self._storage, EVENTS)
        self._snapshot: Snapshot | None = None
        self._con: DuckDBPyConnection = parquet_reader(self._storage)
        # Empty, with every column, so that a column missing in old files is NULL.
        columns_sql = ", ".join(f"{n} {t}" for n, t in tables.EVENTS.items())
        self._con.execute(f"CREATE TABLE no_events ({columns_sql})")
        self._con.execute(
            "CREATE TABLE positions (topic_id VARCHAR, kafka_partition INTEGER, "
            "last_offset BIGINT, PRIMARY KEY (topic_id, kafka_partition))"
        )

    def last(self, count: int) -> list[Row]:
        """Return the last `count` events, oldest first; `poll` returns later ones.

        Raises:
            LakeError: the lake cannot be read.
            StorageUnavailable: the store is temporarily unavailable.
        """
        with self._reading():
            snapshot = self._table.refresh()
            if snapshot is not None:
                snapshot = self._start_positions(snapshot)
            rows = self._last(snapshot, count) if snapshot and count else []
            self._snapshot = snapshot
            return rows

    def poll(self) -> Iterator[Row] | None:
        """Return events committed since the last poll; None if there is no table.

        All files are read before the first row is returned, so after an error the next
        poll returns the same events, none lost or repeated.

        Raises:
            LakeError: the lake cannot be read.
            StorageUnavailable: the store is temporarily unavailable.
        """
        with self._reading():
            snapshot = self._table.refresh()
            if snapshot is None:
                return None
            if snapshot is self._snapshot:
                return iter(())
            added = new_files(self._storage, self._snapshot, snapshot)
            uris = snapshot.uris(self._storage, added)
            rows = self._new_rows(uris) if uris else iter(())
            self._snapshot = snapshot
            return rows

    def _start_positions(self, snapshot: Snapshot) -> Snapshot:
        """Store the last committed offset of each partition."""
        # `streams` is read after the events: a partition without a row has no events.
        rows = [row for row in read_streams(self._storage) if row.table == EVENTS]
        snapshot = self._table.watch(row.app_id for row in rows) or snapshot
        for row in rows:
            last_offset = snapshot.transactions.get(row.app_id)
            if last_offset is not None:
                self._advance("SELECT ?, ?, ?", *row.partition, last_offset)
        return snapshot

    def _advance(self, query: str, *values: object) -> None:
        self._con.execute(
            f"INSERT INTO positions {query} ON CONFLICT DO UPDATE "
            "SET last_offset = greatest(last_offset, excluded.last_offset)",
            list(values),
        )

    def _last(self, snapshot: Snapshot, count: int) -> list[Row]:
        """Return the last rows, reading the newest files first."""
        times = {p: file.ingested_at or UNKNOWN for p, file in snapshot.files.items()}
        paths = sorted(times, key=times.__getitem__, reverse=True)
        uris = snapshot.uris(self._storage, paths)
        newest = [times[path] for path in paths]
        if not uris:
            return []
        taken = FILES_FIRST
        while True:
            renew_keys(self._storage, self._con)
            rows = self._con.execute(
                f"WITH stored AS ({STORED}), newest AS ("  # noqa: S608 - ours
                f"FROM stored WHERE {self._where} ORDER BY ingested_at DESC, "
                "kafka_ts DESC, kafka_partition DESC, kafka_offset DESC LIMIT ?) "
                f"SELECT ingested_at, {self._columns} FROM newest ORDER BY {IN_ORDER}",
                [uris[:taken], *self._values, count],
            ).fetchall()
            full = len(rows) == count
            # Stop once the remaining files contain only older rows.
            if taken >= len(uris) or (
                full and newest[taken] < min(row[0] for row in rows)
            ):
                return [row[1:] for row in rows]
            taken *= 4

    def _new_rows(self, uris: list[str]) -> Iterator[Row]:
        """Return the rows of these files beyond the positions, and advance them."""
        renew_keys(self._storage, self._con)
        cursor = self._con.cursor()
        cursor.execute(
            f"WITH stored AS ({STORED}) SELECT {self._columns} FROM ("  # noqa: S608
            "SELECT stored.* FROM stored LEFT JOIN positions "
            "USING (topic_id, kafka_partition) "
            "WHERE kafka_offset > coalesce(last_offset, -1)) "
            f"WHERE {self._where} ORDER BY {IN_ORDER}",
            [uris, *self._values],
        )
        first = cursor.fetchmany(FETCH_ROWS)
        self._advance(
            "SELECT topic_id, kafka_partition, max(kafka_offset) "  # noqa: S608 - ours
            f"FROM ({STORED}) GROUP BY ALL",
            uris,
        )
        return _fetched(first, cursor)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with storage_errors(self._storage, f"read table {EVENTS}"):
                yield
        except RuntimeError:
            self._con.interrupt()
            raise


def _fetched(first: list[Any], cursor: "DuckDBPyConnection") -> Iterator[Row]:
    rows = first
    while rows:
        yield from rows
        rows = cursor.fetchmany(FETCH_ROWS)
