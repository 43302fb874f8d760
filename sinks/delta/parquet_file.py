"""Writes rows to a Parquet file of a table, and returns its entry for the Delta log.

Uses pyarrow instead of `write_deltalake`, which needs twice the CPU time: it splits
rows by partition although a commit has one date, and tries a dictionary for every
column. docs/adr/0004 has the measurements.
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from semloop import tables
from semloop.storage.location import Storage

# Values of more characters get no bounds, since they would bloat the log. They are not
# truncated: a truncated maximum would have to be rounded up to remain a bound.
STATISTICS_CHARS_MAX = 64


def write_file(storage: Storage, table: str, rows: pa.Table) -> AddAction:
    """Write a file of rows; it is not part of the table until a commit adds it.

    Args:
        storage: the lake.
        table: name of one of `tables.TABLES`, which declares the format of its files.
        rows: rows with the columns of the table; all of one date if it is partitioned.

    Raises:
        OSError: the storage refuses.
        pa.ArrowException: the rows cannot be stored.
    """
    spec = tables.TABLES[table]
    partition: dict[str, str | None] = {}
    path, columns = f"part-{uuid.uuid4()}.zstd.parquet", rows
    if spec.partition_by:
        partition["date"] = day = rows["date"][0].as_py().isoformat()
        path, columns = f"date={day}/{path}", rows.drop_columns("date")
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
        partition_values=partition,
        modification_time=time.time_ns() // 1_000_000,
        data_change=True,
        # NOTE: Without escapes: DuckDB's delta extension 1.5.5 reads \ud840\udc00 as
        # another character, and then skips a file that has the rows of a query.
        stats=json.dumps(_statistics(columns, spec.statistics), ensure_ascii=False),
    )


def _statistics(rows: pa.Table, names: Sequence[str]) -> Mapping[str, Any]:
    """Return row count and column bounds, in the format of the Delta protocol."""
    lowest, highest, nulls = {}, {}, {}
    for name in names:
        bounds = pc.min_max(rows[name]).as_py()
        nulls[name] = rows[name].null_count
        if bounds["min"] is not None and _short(bounds):
            lowest[name] = _json(bounds["min"])
            highest[name] = _json(bounds["max"])
    return {
        "numRecords": rows.num_rows,
        "minValues": lowest,
        "maxValues": highest,
        "nullCount": nulls,
    }


def _short(bounds: Mapping[str, object]) -> bool:
    return all(len(str(value)) <= STATISTICS_CHARS_MAX for value in bounds.values())


def _json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value
