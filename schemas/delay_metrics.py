"""The metrics of delays: what waits, for how long, and until when it is queryable."""

from semloop.metric_declaration import Metric

# Close together where commits of a second or two put most events; a quantile is within
# a bucket. The last ones are for what waited during an outage.
QUERYABLE_SECONDS = (
    0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 30.0,
    60.0, 120.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0,
)  # fmt: skip

DELAYS = (
    Metric(
        "semloop_lag_seconds", "gauge", "seconds", ("flow", "worker"),
        "Age of the oldest record that waits for a commit, by its Kafka timestamp, at "
        "this moment; 0 while none waits.",
        "Over 30 s with over 1,000 records: the flow falls behind or is stuck.",
    ),
    Metric(
        "semloop_silent_seconds", "gauge", "seconds", ("flow",),
        "Time since the quietest worker of this process last finished an item, or "
        "since the start.",
        "Over 30 s: it hangs, or broker or store do not answer; read its log.",
    ),
    Metric(
        "semloop_queryable_seconds", "histogram", "seconds", ("flow",),
        "From the Kafka timestamp of each event to the end of the commit after which "
        "queries see it: for `archive` in `events`, for `memory` as a memory.",
        "Rising without lag: commits are slow, or producers' clocks are behind.",
        QUERYABLE_SECONDS,
    ),
)  # fmt: skip
