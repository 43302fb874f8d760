"""Metrics and the log line of a commit of `archive`; nothing is emitted per row."""

from collections import Counter

import pyarrow as pa
import structlog

from schemas.dead_letter import Reason
from schemas.metrics import Metrics
from semloop.flow_registry import ARCHIVE
from sinks.archive_buffer import ArchiveBuffer
from sinks.delta.fenced_table import FencedTable

FLOW = ARCHIVE.name
log = structlog.get_logger(FLOW)


def report(
    metrics: Metrics,
    buffer: ArchiveBuffer,
    stored: tuple[pa.Table, pa.Table],
    rejected: int,
    main: FencedTable,
) -> None:
    """Update the metrics after a commit, and log it.

    Args:
        metrics: registry to update.
        buffer: the polls that were committed.
        stored: events and dead letters that were passed to the tables.
        rejected: number of these events that became dead letters instead.
        main: table `events`, after the commit.
    """
    events, dead = stored
    # Redelivered events, and events that already have a dead letter, were left out.
    left_out = buffer.events().num_rows - events.num_rows
    metrics.add("semloop_events_total", events.num_rows - rejected, flow=FLOW)
    duplicates = buffer.counts["duplicates"] + left_out
    metrics.add("semloop_duplicates_total", duplicates, flow=FLOW)
    metrics.add("semloop_misrouted_total", buffer.misrouted.total(), flow=FLOW)
    metrics.add("semloop_repeated_total", buffer.repeated.total(), flow=FLOW)
    metrics.add("semloop_skipped_total", buffer.counts["skipped"], flow=FLOW)
    reasons = Counter(dead["reason"].to_pylist())
    if rejected:
        reasons[Reason.UNSTORABLE] += rejected
    for reason, count in reasons.items():
        metrics.add("semloop_dead_letters_total", count, flow=FLOW, reason=reason)
    for partition, offset in main.offsets.items():
        labels: dict[str, str | int] = {"flow": FLOW, "partition": partition.number}
        metrics.set("semloop_last_offset", offset, **labels)
        if partition in buffer.ends:
            lag = max(0, buffer.ends[partition] - 1 - offset)
            metrics.set("semloop_lag_records", lag, **labels)
    log.info(
        "committed",
        events=events.num_rows - rejected,
        dead_letters=dead.num_rows + rejected,
        duplicates=duplicates,
        offsets={p.number: offset for p, offset in main.offsets.items()},
    )
