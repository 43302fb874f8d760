"""Writes rows to a Parquet file of a table, and returns its entry for the Delta log.

Uses pyarrow instead of `write_deltalake`, which needs twice the CPU time: it splits
rows by partition although a commit has one date, and tries a dictionary for every
column. docs/adr/0004 has the measurements.
"""

import json
import time
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from schemas.table_parts import partition_values, path_of
from semloop import tables
from semloop.delta.file_name import FileName
from semloop.storage.location import Storage

# Values of more characters get no bounds, since they would bloat the log. They are not
# truncated: a truncated maximum would have to be rounded up to remain a bound.
STATISTICS_CHARS_MAX = 64


def write_file(storage: Storage, table: str, rows: pa.Table, number: int) -> AddAction:
    """Write a file of rows; it is not part of the table until a commit adds it.

    Args:
        storage: the lake.
        table: name of one of `tables.TABLES`, which declares the format of its files.
        rows: rows with the columns of the table; all of one date if it is partitioned.
        number: place in the order of commits, as `semloop.delta.file_name` defines it.

    Raises:
        OSError: the storage refuses.
        pa.ArrowException: the rows cannot be stored.
    """
    spec = tables.TABLES[table]
    day, columns = None, rows
    if spec.partition_by:
        day, columns = rows["date"][0].as_py(), rows.drop_columns("date")
    path = path_of(day, FileName(first=number).new())
    if spec.sort_by:
        columns = columns.sort_by([(name, "ascending") for name in spec.sort_by])
    buffer = pa.BufferOutputStream()
    pq.write_table(
        columns,
        buffer,
        compression="zstd",
        compression_level=1,
        use_dictionary=list(spec.dictionaries),
        write_statistics=list(spec.statistics),
        bloom_filter_options=dict.fromkeys(spec.bloom_filters, True) or None,
        store_schema=False,
    )
    data = buffer.getvalue()
    storage.put(f"{table}/{path}", data)
    return AddAction(
        path=path,
        size=data.size,
        partition_values={**partition_values(day)},
        modification_time=time.time_ns() // 1_000_000,
        data_change=True,
        stats=statistics_json(_statistics(columns, spec.statistics)),
    )


def statistics_json(statistics: Mapping[str, Any]) -> str:
    """Return the text of statistics for the log."""
    # NOTE: Without escapes: DuckDB's delta extension 1.5.5 reads \ud840\udc00 as
    # another character, and then skips a file that has the rows of a query.
    return json.dumps(statistics, ensure_ascii=False)


def file_statistics(
    row_count: int, columns: Iterable[tuple[str, object, object, int]]
) -> dict[str, Any]:
    """Return the statistics of a file, in the format of the Delta protocol.

    Args:
        row_count: rows of the file.
        columns: name, smallest and largest value, and number of nulls.
    """
    lowest, highest, nulls = {}, {}, {}
    for name, low, high, null_count in columns:
        nulls[name] = null_count
        if low is not None and _short(low) and _short(high):
            lowest[name], highest[name] = _json(low), _json(high)
    return {
        "numRecords": row_count,
        "minValues": lowest,
        "maxValues": highest,
        "nullCount": nulls,
    }


def _statistics(rows: pa.Table, names: Iterable[str]) -> Mapping[str, Any]:
    columns = []
    for name in names:
        bounds = pc.min_max(rows[name]).as_py()
        columns.append((name, bounds["min"], bounds["max"], rows[name].null_count))
    return file_statistics(rows.num_rows, columns)


def _short(value: object) -> bool:
    return len(str(value)) <= STATISTICS_CHARS_MAX


def _json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value
