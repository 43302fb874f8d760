"""What the steps of the flow `metrics` pass on."""

from dataclasses import dataclass, field

import pyarrow as pa

from schemas.batches import Progress


@dataclass(frozen=True, slots=True)
class Summed:
    """One poll of the lake as sums: `sums` as `schemas.arrow.METRIC_SUMS`.

    `events`: number of events. `kafka_ts`: the Kafka timestamp of each.
    """

    sums: pa.Table
    progress: Progress = field(default_factory=Progress)
    events: int = 0
    kafka_ts: pa.ChunkedArray | None = None
