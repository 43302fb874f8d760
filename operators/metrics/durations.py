"""The buckets of durations, of which a quantile has a bounded relative error."""

import math

import numpy as np
import pyarrow as pa

from semloop.agent_metrics import DURATION_MS_MAX, DURATION_MS_MIN, GAMMA


def duration_buckets(durations_ms: pa.ChunkedArray) -> pa.Array:
    """Return the bucket of each duration, as int32; null where it is absent.

    Args:
        durations_ms: float64, milliseconds. Negative ones, which only a wrong clock of
            a producer makes, are in the lowest bucket.
    """
    missing = durations_ms.is_null().to_numpy()
    if missing.all():
        return pa.nulls(len(durations_ms), pa.int32())
    values = durations_ms.fill_null(0.0).to_numpy()
    within = np.clip(values, DURATION_MS_MIN, DURATION_MS_MAX)
    buckets = np.ceil(np.log(within) / math.log(GAMMA)).astype(np.int32)
    return pa.array(buckets, mask=missing)


def bucket_duration_ms(bucket: int) -> float:
    """Return the duration that is shown for those of a bucket, milliseconds."""
    return 2 * GAMMA**bucket / (GAMMA + 1)
