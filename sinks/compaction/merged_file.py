"""Writes the rows of several files into one, sorted, in bounded memory.

DuckDB sorts the rows, and spills those that exceed its limit to a temporary folder;
pyarrow writes them, because DuckDB has no Bloom filters for columns of distinct values.
Of a table of revisions, only the newest are written. Before and after, rows, values and
origins are counted, of the newest revisions only; a difference is an error.
"""

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import OutOfMemoryException

from schemas.arrow import arrow_schema
from schemas.batches import Merge
from schemas.compaction import MergedFile
from schemas.table_parts import part_name, path_of
from semloop import layout, tables
from semloop.delta.last_offsets import footer_metadata
from semloop.delta.query import FileQueries
from semloop.delta.streams import Partition
from semloop.errors import LakeError, StorageUnavailable
from semloop.retry import retry
from semloop.sql_text import quoted
from semloop.storage.duckdb_access import renew_keys
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage
from semloop.storage.scratch import scratch_folder
from sinks.compaction.row_queries import invariants, merged_rows
from sinks.delta.parquet_file import file_statistics

# Bounds of a row group: it is in memory while it is written, and a reader of one
# session reads a whole row group.
GROUP_ROWS = 50_000
GROUP_BYTES = 16 * 2**20
# Rows that DuckDB hands over at a time.
BATCH_ROWS = 2_048
# Memory of DuckDB, MB: 192 for a million rows; wider ones are sorted again with more.
MEMORY_MB = (192, 384, 768)
SETTINGS = ("SET threads = 1", "SET preserve_insertion_order = false")
# Text of DuckDB's error, which pyarrow may raise as an OSError.
OUT_OF_MEMORY = "Out of Memory"
# 1 of 100 row groups is read although it does not have the value.
FALSE_POSITIVES = 0.01
# Flows write level 1, which is faster; compaction costs little and lasts for years.
COMPRESSION_LEVEL = 3


def write_merged(storage: Storage, merge: Merge, retry_s: float = 60.0) -> MergedFile:
    """Write the rows of a merge to a new file, which no version contains yet.

    Args:
        storage: the lake.
        merge: the files.
        retry_s: how long to retry the upload while storage is unavailable, seconds.

    Raises:
        LakeError: the new file does not have exactly the rows of the others, or their
            newest revisions, or a file cannot be read.
        StorageUnavailable: storage is not available now, or a file was removed
            meanwhile.
    """
    for memory_mb in MEMORY_MB:
        try:
            return _write(storage, merge, memory_mb, retry_s)
        except OutOfMemoryException:
            continue
        except OSError as error:
            reason = error.strerror or type(error).__name__
            msg = f"Rows cannot be sorted in {tempfile.gettempdir()}: {reason}."
            todo = "Free space there, or set TMPDIR to a folder on a larger disk."
            raise LakeError(msg, todo) from error
        except (duckdb.Error, pa.ArrowException) as error:
            # The text may quote a row.
            msg = f"Files of {part_name(merge.table, merge.date)} cannot be merged: "
            msg += f"{type(error).__name__}."
            todo = "Another program may have written one of them: rewrite or remove it."
            raise LakeError(msg, todo) from None
    msg = f"{len(merge.files)} files of {part_name(merge.table, merge.date)} need more "
    msg += f"than {MEMORY_MB[-1]} MB of memory."
    raise LakeError(msg, "Nothing was changed; the files stay as they are.")


def _write(
    storage: Storage, merge: Merge, memory_mb: int, retry_s: float
) -> MergedFile:
    queries = FileQueries(storage, merge.keep)
    try:
        with scratch_folder("semloop-compact-") as folder:
            for setting in (
                *SETTINGS,
                f"SET memory_limit = '{memory_mb}MB'",
                f"SET temp_directory = {quoted(str(folder))}",
            ):
                queries.connection.execute(setting)
            local = folder / "merged.parquet"
            return _checked(storage, queries, merge, local, retry_s)
    finally:
        queries.close()


def _checked(
    storage: Storage, queries: FileQueries, merge: Merge, local: Path, retry_s: float
) -> MergedFile:
    """Write the file; compare its rows, as they are stored, with the others."""
    uris = [f"{storage.uri(merge.table)}/{file.path}" for file in merge.files]
    columns = queries.arrow(merge.table, uris, "SELECT * FROM rows LIMIT 0")
    layout.check_columns(merge.table, columns.column_names)
    spec, is_cold = tables.TABLES[merge.table], merge.cold is not None
    query = invariants(spec, columns.column_names, is_cold=is_cold)
    before = queries.arrow(merge.table, uris, query).to_pylist()
    _sort(storage, queries, merge, uris, before, local)
    upload = partial(_upload, storage, merge, local)
    path = retry(upload, on=StorageUnavailable, seconds=retry_s)
    stored = [f"{storage.uri(merge.table)}/{path}"]
    after = queries.arrow(merge.table, stored, query).to_pylist()
    statistics = _statistics(queries, merge.table, stored)
    # Of folded rows the query does not tell whether an older revision was left.
    row_count = sum(origin["row_count"] for origin in before)
    if after != before or statistics["numRecords"] != row_count:
        msg = f"Compaction of {part_name(merge.table, merge.date)} would change rows."
        todo = "Nothing was changed. Report this with the version of SemLoop."
        raise LakeError(msg, todo)
    return MergedFile(merge, path, local.stat().st_size, statistics)


def _upload(storage: Storage, merge: Merge, local: Path) -> str:
    path = path_of(merge.date, merge.name.new())
    with storage_errors(storage, f"write table {merge.table}"):
        storage_class = merge.cold.storage_class if merge.cold else ""
        storage.put_file(f"{merge.table}/{path}", local, storage_class)
    return path


def _sort(
    storage: Storage,
    queries: FileQueries,
    merge: Merge,
    uris: Sequence[str],
    origins: Sequence[dict[str, Any]],
    path: Path,
) -> None:
    """Write the sorted rows to a local file."""
    spec = tables.TABLES[merge.table]
    schema = arrow_schema(spec.columns)
    stored = pa.schema([field for field in schema if field.name != "date"])
    ndv = min(GROUP_ROWS, sum(origin["row_count"] for origin in origins))
    filters = {"ndv": ndv, "fpp": FALSE_POSITIVES}
    last = {
        Partition(o["topic_id"], o["kafka_partition"]): o["last_offset"]
        for o in origins
        if o["topic_id"] is not None
    }
    writer = pq.ParquetWriter(
        path,
        stored,
        compression="zstd",
        compression_level=merge.cold.level if merge.cold else COMPRESSION_LEVEL,
        use_dictionary=list(spec.dictionaries),
        write_statistics=list(spec.compacted_statistics),
        bloom_filter_options=dict.fromkeys(spec.compacted_filters, filters),
        store_schema=False,
    )
    with writer:
        writer.add_key_value_metadata(footer_metadata(last))
        batches = _sorted(storage, queries, merge, uris)
        for rows in _row_groups(batches, stored):
            writer.write_table(rows, row_group_size=GROUP_ROWS)


def _sorted(
    storage: Storage, queries: FileQueries, merge: Merge, uris: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    # A compacted file alone is sorted, and its wide rows may not fit in memory.
    is_compacted = len(merge.files) == 1 and merge.files[0].name.level > 0
    is_sorted = is_compacted or merge.unsorted
    spec = tables.TABLES[merge.table]
    is_cold = merge.cold is not None
    sql, values = merged_rows(
        spec, uris, queries.rows, is_sorted=is_sorted, is_cold=is_cold
    )
    with storage_errors(storage, f"read table {merge.table}"):
        try:
            renew_keys(storage, queries.connection)
            found = queries.connection.execute(sql, values)
            yield from found.to_arrow_reader(BATCH_ROWS)
        except OSError as error:  # of DuckDB, by way of Arrow's reader
            if OUT_OF_MEMORY in str(error):
                raise OutOfMemoryException(str(error)) from error
            raise


def _row_groups(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema
) -> Iterator[pa.Table]:
    group: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in (part for whole in batches for part in _parts(whole)):
        if group and (rows + batch.num_rows > GROUP_ROWS or size >= GROUP_BYTES):
            yield pa.Table.from_batches(group)
            group, rows, size = [], 0, 0
        group.append(_with_schema(batch, schema))
        rows += batch.num_rows
        size += batch.nbytes
    if group:
        yield pa.Table.from_batches(group)


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch of wide rows into parts of a row group's size."""
    rows = max(1, batch.num_rows * GROUP_BYTES // max(1, batch.nbytes))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _with_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Add columns that are missing in old files."""
    names = set(batch.schema.names)
    columns = [
        batch[field.name].cast(field.type)
        if field.name in names
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _statistics(
    queries: FileQueries, table: str, uris: Sequence[str]
) -> dict[str, Any]:
    names = tables.TABLES[table].statistics
    wanted = "".join(
        f', min({name}) AS "min {name}", max({name}) AS "max {name}", '
        f'count(*) - count({name}) AS "nulls {name}"'
        for name in names
    )
    query = f"SELECT count(*) AS row_count{wanted} FROM rows"  # noqa: S608 - ours
    (found,) = queries.arrow(table, uris, query).to_pylist()
    columns = [
        (name, *(found[f"{kind} {name}"] for kind in ("min", "max", "nulls")))
        for name in names
    ]
    return file_statistics(found["row_count"], columns)
