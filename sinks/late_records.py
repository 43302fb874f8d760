"""Records that come late by their Kafka timestamp: a producer's clock is behind."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from semloop.delta.streams import Partition
from semloop.progress.activity import AgentCounts
from semloop.settings import Settings


def late_by_agent(
    events: pa.RecordBatch, caught_up_ms: Mapping[Partition, int], settings: Settings
) -> dict[str, AgentCounts]:
    """Return the late events of a poll, by agent; all others count as none.

    A record came after `archive` had last read all of its partition. So this is known
    even if `archive` itself was behind, but only for what came after that.

    Args:
        events: as `DECODED_EVENTS`, of one topic.
        caught_up_ms: partition -> when all before this poll had been read, wall clock.
        settings: how long a producer may hold a record that it has stamped.
    """
    allowed_ms = int(settings.episodes.delivery_max_s * 1_000)
    if not events.num_rows or not caught_up_ms:
        return {}
    stamped_ms = pc.divide(events["kafka_ts"].cast(pa.int64()), 1_000)
    if pc.min(stamped_ms).as_py() >= max(caught_up_ms.values()) - allowed_ms:
        return {}
    known = {partition.number: ms for partition, ms in caught_up_ms.items()}
    found: dict[str, AgentCounts] = {}
    columns = (events["agent"], events["kafka_partition"], stamped_ms)
    for agent, number, ms in zip(*(c.to_pylist() for c in columns), strict=True):
        behind_ms = known.get(number, ms) - ms
        if behind_ms > allowed_ms:
            counts = AgentCounts(late=1, behind_ms=behind_ms)
            found.setdefault(agent, AgentCounts()).add(counts)
    return found
