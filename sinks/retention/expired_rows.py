"""Finds the expired rows of a date, and writes the other rows of its files.

No row goes that a flow still needs: an event that `memory` or `metrics` has not read,
or a revision of an episode that is open.
"""

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import pyarrow as pa

from schemas.batches import DataFile, ExpiredDate, Merge
from schemas.compression import Compression
from schemas.retention import Expiry
from semloop.delta.query import FileQueries
from semloop.delta.snapshot import read_snapshot
from semloop.delta.streams import EXPIRED, NEVER_READ, Partition
from semloop.delta.streams_table import StreamRow, read_streams, rows_of
from semloop.errors import StorageUnavailable
from semloop.flow_registry import LAKE_READERS, MEMORY, Flow
from semloop.retry import retry
from semloop.storage.location import Storage
from sinks.compaction.merged_file import write_merged

UNREAD = "{flow} has not read some of them"
OPEN = "some of them are of open episodes"
# The second parameter has the files, too, and adds their names.
COUNTS = """
SELECT filename, count(*) AS all_rows, count(*) FILTER ({condition}) AS expired
FROM read_parquet(?, union_by_name = true, hive_partitioning = false, filename = true)
GROUP BY filename
"""
LAST_OFFSETS = """
SELECT topic, topic_id, kafka_partition, max(kafka_offset) AS last_offset FROM rows
WHERE {condition} GROUP BY topic, topic_id, kafka_partition
"""
OPEN_EPISODES = """
SELECT DISTINCT episode_id FROM rows WHERE state = 'open' AND {condition}
"""
CLOSED_EPISODES = """
SELECT DISTINCT episode_id FROM rows SEMI JOIN wanted USING (episode_id)
WHERE state = 'closed'
"""


def expire(
    storage: Storage,
    item: ExpiredDate,
    retry_s: float,
    *,
    dry_run: bool,
    cold: Compression | None = None,
) -> Expiry:
    """Return how the expired rows of a date leave their table.

    Args:
        storage: the lake.
        item: the date.
        retry_s: how long to retry while storage is unavailable, seconds.
        dry_run: write no file; `added` is empty.
        cold: how a file that is compressed hard is written again.

    Raises:
        LakeError: a file cannot be read or written.
        StorageUnavailable: storage did not recover within `retry_s`.
    """
    with closing(_Rows(storage, item)) as rows:
        counted = retry(rows.counts, on=StorageUnavailable, seconds=retry_s)
        # In the order of commits, should one entry be too short for all.
        ordered = sorted(item.files, key=lambda file: file.place)
        removed = tuple(file for file in ordered if counted[file.path].expired)
        if not removed:
            return Expiry(item.table, item.date)
        held = retry(lambda: rows.held(removed), on=StorageUnavailable, seconds=retry_s)
        expired = retry(
            lambda: rows.last_offsets(removed), on=StorageUnavailable, seconds=retry_s
        )
    count = sum(counted[file.path].expired for file in removed)
    if held or dry_run:
        size = sum(counted[f.path].share_of(f.size_bytes) for f in removed)
        return Expiry(item.table, item.date, removed, (), count, size, held, expired)
    added = tuple(
        write_merged(storage, _without_expired(item, file, cold), retry_s)
        for file in removed
        if counted[file.path].expired < counted[file.path].all
    )
    size = sum(f.size_bytes for f in removed) - sum(f.size_bytes for f in added)
    return Expiry(item.table, item.date, removed, added, count, size, "", expired)


def _without_expired(
    item: ExpiredDate, file: DataFile, cold: Compression | None
) -> Merge:
    """Return the merge that writes a file without its expired rows."""
    keep = f"NOT ({item.condition})"
    own = cold if file.name.is_cold else None
    return Merge(item.table, item.version, item.date, (file,), keep=keep, cold=own)


class _Count(NamedTuple):
    """Rows of a file, and how many of them have expired."""

    all: int
    expired: int

    def share_of(self, size_bytes: int) -> int:
        return size_bytes * self.expired // max(1, self.all)


class _Rows:
    """Queries on the rows of a date."""

    def __init__(self, storage: Storage, item: ExpiredDate) -> None:
        self._storage = storage
        self._item = item
        self._queries = FileQueries(storage)

    def close(self) -> None:
        self._queries.close()

    def counts(self) -> dict[str, _Count]:
        """Count the rows of each file, by its path."""
        uris = self._uris(self._item.files)
        query = COUNTS.format(condition=self._item.condition)
        found = self._queries.arrow(self._item.table, uris, query, [uris]).to_pylist()
        by_uri = {
            row["filename"]: _Count(row["all_rows"], row["expired"]) for row in found
        }
        # A file without rows has no group.
        empty = _Count(0, 0)
        return {
            file.path: by_uri.get(uri, empty)
            for file, uri in zip(self._item.files, uris, strict=True)
        }

    def held(self, files: Sequence[DataFile]) -> str:
        """Return why a flow still needs some of the rows; empty if none does."""
        for flow in LAKE_READERS.values():
            if self._item.table == flow.reads and self._unread(flow, files):
                return UNREAD.format(flow=flow.name)
        if self._item.table == MEMORY.main and self._open(files):
            return OPEN
        return ""

    def last_offsets(self, files: Sequence[DataFile]) -> dict[str, int]:
        """Return app ids with the last offsets of the rows of episodes that go.

        The memories of these episodes stay visible.
        """
        if self._item.table != MEMORY.main:
            return {}
        app_ids = {row.partition: row.app_id for row in self._read_streams(MEMORY)}
        return {
            app_ids[partition] + EXPIRED: row["last_offset"]
            for row in self._found(files, LAST_OFFSETS).to_pylist()
            if (partition := Partition(row["topic_id"], row["kafka_partition"]))
            in app_ids
        }

    def _read_streams(self, flow: Flow) -> list[StreamRow]:
        """Return the partitions that a flow reads."""
        return rows_of(flow.name, flow.main, read_streams(self._storage))

    def _unread(self, flow: Flow, files: Sequence[DataFile]) -> bool:
        """Return True if a flow reads the topic of a row, and is not beyond it.

        It reads all partitions of a topic, also those of one that was created again: it
        may have no position there if it has been stopped since.
        """
        read = self._read_streams(flow)
        if not read:
            return False
        topics = {row.stream.topic for row in read}
        app_ids = {row.partition: row.app_id for row in read}
        snapshot = read_snapshot(self._storage, flow.main, app_ids.values())
        stored = snapshot.transactions if snapshot else {}
        for row in self._found(files, LAST_OFFSETS).to_pylist():
            app_id = app_ids.get(Partition(row["topic_id"], row["kafka_partition"]), "")
            position = stored.get(app_id, NEVER_READ)
            if row["topic"] in topics and row["last_offset"] > position:
                return True
        return False

    def _open(self, files: Sequence[DataFile]) -> bool:
        """Return True if neither this date nor a later one closes an episode."""
        opened = self._found(files, OPEN_EPISODES)
        if not opened.num_rows:
            return False
        self._queries.connection.register("wanted", opened)
        every = (*self._item.files, *self._item.later)
        closed = self._found(every, CLOSED_EPISODES)
        self._queries.connection.unregister("wanted")
        return bool(closed.num_rows < opened.num_rows)

    def _found(self, files: Sequence[DataFile], query: str) -> pa.Table:
        sql = query.format(condition=self._item.condition)
        return self._queries.arrow(self._item.table, self._uris(files), sql)

    def _uris(self, files: Sequence[DataFile]) -> list[str]:
        return [f"{self._storage.uri(self._item.table)}/{file.path}" for file in files]
