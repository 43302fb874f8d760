"""Kafka timestamps of a batch."""

import pyarrow as pa
import pyarrow.compute as pc


def oldest_kafka_ms(times: pa.Array | pa.ChunkedArray) -> int | None:
    """Return the smallest of some timestamps, in milliseconds; None without one."""
    if not len(times):
        return None
    found = pc.min(times).cast(pa.int64()).as_py()
    return None if found is None else int(found) // 1_000
