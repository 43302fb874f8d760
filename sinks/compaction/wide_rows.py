"""Cuts a merge so that its wide rows fit in memory.

DuckDB sorts vectors of 2,048 rows, each in memory as a whole, several at a time. Rows
of 1 MB, a hundred times smaller on disk, would need gigabytes. A vector cannot have
more wide rows than the merge, so their bytes are bounded for each merge.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from schemas.batches import DataFile, Merge
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


def within_memory(storage: Storage, merge: Merge) -> Iterator[Merge]:
    """Yield merges of consecutive files of this one whose wide rows fit in memory.

    A file with more than half of the wide rows that fit is written alone, in row groups
    of a bounded size; so is one with more of them than fit, in the order of its rows.
    The name of the new file says that it is merged with no other, so a later run does
    not look at it again.

    Raises:
        LakeError: a footer cannot be read. StorageUnavailable: storage is not available
            now, or a file was removed meanwhile.
    """
    wide = _wide_bytes(storage, merge)
    part: list[DataFile] = []
    size = 0
    for file in merge.files:
        added = wide[f"{storage.uri(merge.table)}/{file.path}"]
        is_alone = added > WIDE_BYTES_MAX // 2
        if is_alone or size + added > WIDE_BYTES_MAX:
            yield from _merge_of(merge, part, size)
            part, size = [], 0
        if is_alone:
            unsorted = added > WIDE_BYTES_MAX and not file.name.level
            yield replace(merge, files=(file,), wide=True, unsorted=unsorted)
        else:
            part.append(file)
            size += added
    yield from _merge_of(merge, part, size)


def _merge_of(merge: Merge, files: list[DataFile], wide_bytes: int) -> Iterator[Merge]:
    if len(files) > 1 or (files and merge.cold):
        wide = wide_bytes > WIDE_BYTES_MAX // 2
        yield replace(merge, files=tuple(files), wide=wide)


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
