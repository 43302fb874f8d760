"""Cuts a merge so that its wide rows fit in memory.

DuckDB sorts vectors of 2,048 rows, each in memory as a whole, several at a time. Rows
of 1 MB, a hundred times smaller on disk, would need gigabytes. A vector cannot have
more wide rows than the merge, so their bytes are bounded for each merge.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import structlog

from schemas.batches import DataFile, Merge
from schemas.table_parts import partition_values
from semloop.storage.duckdb_access import parquet_reader, renew_keys
from semloop.storage.errors import storage_errors
from semloop.storage.location import Storage

# Rows of a row group that are wider than this on average are wide: a vector of narrower
# ones has at most 8 MiB.
WIDE_ROW_BYTES = 4 * 2**10
# Wide rows of a merge, uncompressed.
WIDE_BYTES_MAX = 64 * 2**20
WIDE_BYTES = """
SELECT
    file_name,
    coalesce(sum(row_group_bytes) FILTER (row_group_bytes > row_group_num_rows * ?), 0)
        ::BIGINT
FROM (
    SELECT DISTINCT file_name, row_group_id, row_group_bytes, row_group_num_rows
    FROM parquet_metadata(?)
)
GROUP BY file_name
"""

log = structlog.get_logger("flow")


def within_memory(storage: Storage, merge: Merge) -> Iterator[Merge]:
    """Yield merges of consecutive files of this one whose wide rows fit in memory.

    A file that alone has too many is left as it is, unless it is sorted: it is only to
    be compressed then, a row group at a time.

    Raises:
        LakeError: a footer cannot be read. StorageUnavailable: storage is not available
            now, or a file was removed meanwhile.
    """
    wide = _wide_bytes(storage, merge)
    part: list[DataFile] = []
    size = 0
    for file in merge.files:
        added = wide[f"{storage.uri(merge.table)}/{file.path}"]
        if size + added > WIDE_BYTES_MAX:
            yield from _merge_of(merge, part)
            part, size = [], 0
        if added > WIDE_BYTES_MAX:
            if merge.cold and file.name.level:
                yield replace(merge, files=(file,))
            continue
        part.append(file)
        size += added
    yield from _merge_of(merge, part)
    if too_wide := sum(size > WIDE_BYTES_MAX for size in wide.values()):
        log.info(
            "files with wide rows are not merged",
            table=merge.table,
            **partition_values(merge.date),
            files=too_wide,
        )


def _merge_of(merge: Merge, files: list[DataFile]) -> Iterator[Merge]:
    if len(files) > 1 or (files and merge.cold):
        yield replace(merge, files=tuple(files))


def _wide_bytes(storage: Storage, merge: Merge) -> Mapping[str, int]:
    """Return the bytes of wide rows of each file, by URI."""
    uris = [f"{storage.uri(merge.table)}/{file.path}" for file in merge.files]
    connection = parquet_reader(storage)
    try:
        with storage_errors(storage, f"read table {merge.table}"):
            renew_keys(storage, connection)
            found = connection.execute(WIDE_BYTES, [WIDE_ROW_BYTES, uris]).fetchall()
            return dict(found)
    finally:
        connection.close()
