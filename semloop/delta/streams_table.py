"""The rows of table `streams`: which tables store offsets of which stream.

A row is written before the first offset of its partition, so a program that reads
`streams` after another table finds the app ids of all offsets in that table.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semloop.delta.snapshot import Snapshot
from semloop.delta.streams import Partition, StreamId
from semloop.delta.table import TableFollower
from semloop.storage.damage import naming
from semloop.storage.errors import storage_errors
from semloop.tables import STREAMS as COLUMNS

if TYPE_CHECKING:
    from datetime import datetime

    from semloop.storage.location import Storage

STREAMS = "streams"


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A table of the lake that stores the offsets of one partition of a stream."""

    stream: StreamId
    table: str
    partition: Partition
    first_seen: "datetime"

    @property
    def app_id(self) -> str:
        """App id of the `Transaction` with the last offset."""
        return self.stream.app_id(self.table, self.partition.number)


class StreamsTable:
    """The table `streams`, read again when it has a new version."""

    def __init__(self, storage: "Storage") -> None:
        self._storage = storage
        self._open_file = storage.opener()
        self._follower = TableFollower(storage, STREAMS)
        self._snapshot: Snapshot | None = None
        self._rows: tuple[StreamRow, ...] = ()

    def rows(self) -> tuple[StreamRow, ...]:
        """Return all current rows; the same object if there are no new ones.

        Two writers that started at the same time may both have added a row.

        Raises:
            LakeError: the table cannot be read.
            StorageUnavailable: the storage is not available.
        """
        snapshot = self._follower.refresh()
        if snapshot is not self._snapshot:
            with storage_errors(self._storage, f"read table {STREAMS}"):
                self._rows = tuple(self._read(snapshot))
            self._snapshot = snapshot
        return self._rows

    def _read(self, snapshot: Snapshot | None) -> Iterator[StreamRow]:
        import pyarrow.parquet as pq

        for path in snapshot.files if snapshot else ():
            name = f"{STREAMS}/{path}"
            with self._open_file(name) as file, naming(name):
                rows = pq.ParquetFile(file).read(columns=list(COLUMNS)).to_pylist()
            for row in rows:
                stream = StreamId(
                    row["flow"], row["cluster_id"], row["topic"], row["topic_id"]
                )
                partition = Partition(row["topic_id"], row["kafka_partition"])
                yield StreamRow(stream, row["table_name"], partition, row["first_seen"])


def read_streams(storage: "Storage") -> tuple[StreamRow, ...]:
    """Read the current rows of `streams`; empty if no flow has run on this lake.

    Raises:
        LakeError: the table cannot be read.
        StorageUnavailable: the storage is not available.
    """
    return StreamsTable(storage).rows()


def rows_of(flow: str, table: str, rows: Iterable[StreamRow]) -> list[StreamRow]:
    """Return the rows of one table that one flow writes, in their order."""
    return [row for row in rows if (row.stream.flow, row.table) == (flow, table)]
