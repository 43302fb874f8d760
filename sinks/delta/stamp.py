"""What every row of a commit has in common: when it was written, and that day."""

from datetime import datetime

import pyarrow as pa

from schemas.arrow import ARROW_TYPES

TIMESTAMP = ARROW_TYPES["TIMESTAMPTZ"]


def stamp(rows: pa.Table, schema: pa.Schema, now: datetime) -> pa.Table:
    """The rows with `ingested_at` and `date`: what the table holds."""
    columns = {name: rows[name] for name in rows.column_names}
    columns["ingested_at"] = pa.repeat(pa.scalar(now, TIMESTAMP), rows.num_rows)
    columns["date"] = pa.repeat(pa.scalar(now.date(), pa.date32()), rows.num_rows)
    return pa.Table.from_arrays([columns[n] for n in schema.names], schema=schema)
