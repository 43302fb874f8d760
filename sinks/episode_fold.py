"""The revisions of episodes that a rebuild computes, on the local disk, and their fold.

Nothing of it is part of the lake: a rebuild that is killed begins the fold again, which
costs little, since the vectors of its texts are stored. The time of arrival of a row
is that of its last event: so an episode expires when it would have.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from schemas.arrow import EPISODES
from semloop.errors import StorageUnavailable
from semloop.lake.generations import EPISODES as TABLE
from semloop.retry import retry
from semloop.sql_text import quoted
from semloop.storage.duckdb_access import parquet_reader
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from sinks.delta.parquet_file import write_file

# Rows of a file, of the fold and of the table: some are 10 kB.
FILE_ROWS = 20_000
FILE_BYTES = 64 * 2**20
BATCH_ROWS = 2_048
MEMORY_MB = 512
STORED = EPISODES.remove(EPISODES.get_field_index("date"))
NEWEST = """
FROM read_parquet(?, union_by_name = true) AS revisions SEMI JOIN (
    SELECT episode_id, max(revision) AS revision
    FROM read_parquet(?, union_by_name = true) GROUP BY episode_id
) AS last
ON revisions.episode_id = last.episode_id AND revisions.revision = last.revision
"""
ORDER = """
ORDER BY ingested_at::DATE, started_at, topic_id, kafka_partition, kafka_offset
"""


class EpisodeFold:
    """Revisions of episodes in a folder; memory is bounded, the disk is not.

    Args:
        folder: an empty folder, which the caller removes.
        storage: the lake, whose files queries may read too.
    """

    def __init__(self, folder: Path, storage: Storage) -> None:
        self._folder = folder
        self._waiting: list[pa.Table] = []
        self._rows = self._bytes = 0
        self._files: list[str] = []
        self._count = 0
        self.connection = parquet_reader(storage)
        self.connection.execute("SET threads = 1")
        self.connection.execute(f"SET memory_limit = '{MEMORY_MB}MB'")
        temporary = quoted(str(folder / "sorting"))
        self.connection.execute(f"SET temp_directory = {temporary}")

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def add(self, rows: pa.Table) -> None:
        """Add revisions, as `EPISODE_REVISIONS` or with all columns of `episodes`."""
        if not rows.num_rows:
            return
        arrived = rows["archived_at"]
        if "ingested_at" in rows.column_names:
            arrived = pc.coalesce(arrived, rows["ingested_at"])
            rows = rows.drop_columns("ingested_at")
        rows = rows.append_column("ingested_at", arrived)
        self._waiting.append(rows.select(STORED.names).cast(STORED))
        self._rows += rows.num_rows
        self._bytes += rows.nbytes
        if self._rows >= FILE_ROWS or self._bytes >= FILE_BYTES:
            self._flush()

    def newest(self, *, closed: bool) -> Iterator[pa.RecordBatch]:
        """Yield the newest revision of each episode, or closed episode, by date."""
        self._flush()
        if not self._files:
            return
        condition = "state = 'closed'" if closed else "true"
        sql = f"SELECT revisions.* {NEWEST} WHERE {condition} {ORDER}"
        found = self.connection.execute(sql, [self._files, self._files])
        yield from found.to_arrow_reader(BATCH_ROWS)

    def create_newest(self, name: str) -> None:
        """Create a table of the connection with the newest revision of each episode."""
        self._flush()
        self.connection.register("no_episodes", STORED.empty_table())
        sql = f"CREATE TABLE {name} AS FROM no_episodes"
        self.connection.execute(sql)
        if self._files:
            sql = f"INSERT INTO {name} BY NAME SELECT revisions.* {NEWEST}"
            self.connection.execute(sql, [self._files, self._files])

    def keep_open(self) -> None:
        """Drop the closed episodes: the caller has written them."""
        self._flush()
        if not self._files:
            return
        sql = f"SELECT revisions.* {NEWEST} WHERE state = 'open'"
        found = self.connection.execute(sql, [self._files, self._files])
        path = self._next_file()
        with pq.ParquetWriter(path, STORED, compression="zstd") as writer:
            for batch in found.to_arrow_reader(BATCH_ROWS):
                writer.write_batch(_stored(batch))
        for name in self._files:
            Path(name).unlink()
        self._files = [str(path)]

    def _flush(self) -> None:
        if not self._waiting:
            return
        path = self._next_file()
        pq.write_table(pa.concat_tables(self._waiting), path, compression="zstd")
        self._files.append(str(path))
        self._waiting, self._rows, self._bytes = [], 0, 0

    def _next_file(self) -> Path:
        self._count += 1
        return self._folder / f"revisions-{self._count}.parquet"


def write_dated(
    storage: Storage, batches: Iterator[pa.RecordBatch], number: int, retry_s: float
) -> list[AddAction]:
    """Write files of `episodes`, each of one date, that no version contains yet.

    Args:
        storage: the lake.
        batches: rows of the table without `date`, ordered by date.
        number: place of the rows in the order of commits.
        retry_s: how long to retry while storage is unavailable, seconds.

    Raises:
        LakeError: the storage refuses. StorageUnavailable: it did not recover.
    """

    def write(rows: pa.Table) -> AddAction:
        rows.validate(full=True)
        with storage_errors(storage, f"write table {TABLE}"):
            return write_file(storage, TABLE, rows, number)

    return [
        retry(partial(write, rows), on=StorageUnavailable, seconds=retry_s)
        for rows in _of_one_date(batches)
    ]


def _of_one_date(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    rows = size = 0
    day: Any = None
    for part in (part for batch in batches for part in _dates(batch)):
        its_day = part["date"][0].as_py()
        if waiting and (its_day != day or rows >= FILE_ROWS or size >= FILE_BYTES):
            yield pa.concat_tables(waiting)
            waiting, rows, size = [], 0, 0
        day = its_day
        waiting.append(part)
        rows, size = rows + part.num_rows, size + part.nbytes
    if waiting:
        yield pa.concat_tables(waiting)


def _dates(batch: pa.RecordBatch) -> Sequence[pa.Table]:
    """Split rows where the date changes."""
    rows = pa.Table.from_batches([_stored(batch)])
    days = rows["ingested_at"].cast(pa.date32())
    rows = rows.append_column("date", days).select(EPISODES.names).cast(EPISODES)
    counts = pc.value_counts(days.combine_chunks()).to_pylist()
    parts, start = [], 0
    for counted in counts:  # in the order of appearance
        parts.append(rows.slice(start, counted["counts"]))
        start += counted["counts"]
    return parts


def _stored(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [batch[field.name].cast(field.type) for field in STORED]
    return pa.RecordBatch.from_arrays(columns, schema=STORED)
