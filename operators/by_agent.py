"""Counts events by agent, for the activity of a flow."""

import pyarrow as pa

from schemas.batches import Occurrences


def count_by_agent(
    events: pa.RecordBatch, kind: str
) -> dict[tuple[str, str], Occurrences]:
    """Return (agent, kind) -> the number of its events, and the id of the last one."""
    if not events.num_rows:
        return {}
    rows = pa.table({name: events[name] for name in ("agent", "event_id")})
    # Only without threads is the last id that of the last row.
    groups = rows.group_by("agent", use_threads=False)
    found = groups.aggregate([("event_id", "count"), ("event_id", "last")])
    names = ("agent", "event_id_count", "event_id_last")
    columns = (found[name].to_pylist() for name in names)
    return {
        (agent or "", kind): Occurrences(count, example)
        for agent, count, example in zip(*columns, strict=True)
    }
