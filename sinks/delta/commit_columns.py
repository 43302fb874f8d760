"""Columns that are the same in all rows of a commit: time of writing, and its date."""

from datetime import datetime

import pyarrow as pa

from schemas.arrow import ARROW_TYPES

TIMESTAMP = ARROW_TYPES["TIMESTAMPTZ"]


def with_commit_columns(rows: pa.Table, schema: pa.Schema, now: datetime) -> pa.Table:
    """Add `ingested_at` and `date`, and order the columns as in the table's schema."""
    columns = {name: rows[name] for name in rows.column_names}
    columns["ingested_at"] = pa.repeat(pa.scalar(now, TIMESTAMP), rows.num_rows)
    columns["date"] = pa.repeat(pa.scalar(now.date(), pa.date32()), rows.num_rows)
    return pa.Table.from_arrays([columns[n] for n in schema.names], schema=schema)
