"""Metrics and the log line of a commit of `archive`; nothing is emitted per row."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from schemas.dead_letter import Reason
from schemas.metrics import Metrics
from semloop.flow_registry import ARCHIVE
from semloop.progress.activity import DUPLICATE, AgentCounts, Tally
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
    absurd_times = buffer.counts["absurd_times"]
    metrics.add("semloop_absurd_kafka_times_total", absurd_times, flow=FLOW)
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


def counts_by_agent(
    events: pa.Table,
    dead: pa.Table,
    buffer: ArchiveBuffer,
) -> dict[str, AgentCounts]:
    """Return what became of the records of a commit, by agent.

    Args:
        events: those that are stored.
        dead: the dead letters that are stored.
        buffer: the polls that are committed.
    """
    found: defaultdict[str, AgentCounts] = defaultdict(AgentCounts)
    for agent, count, ahead_us in _accepted(events):
        counts = AgentCounts(count, ahead_ms=max(0, (ahead_us or 0) // 1_000))
        found[agent or ""].add(counts)
    for agent, reason, tally in _refusals(dead):
        found[agent].add(AgentCounts(tallies={reason: tally}))
    for (agent, kind), (count, example) in buffer.by_agent.items():
        found[agent].add(AgentCounts(tallies={kind: Tally(count, example)}))
    for agent, counts in buffer.late.items():
        found[agent].add(counts)
    return dict(found)


def corrections(rejected: pa.Table) -> dict[str, AgentCounts]:
    """Return what to add for events that counted as accepted, but became dead letters.

    Args:
        rejected: their dead letters.
    """
    found: defaultdict[str, AgentCounts] = defaultdict(AgentCounts)
    for agent, reason, tally in _refusals(rejected):
        found[agent].add(AgentCounts(-tally.count, tallies={reason: tally}))
    return dict(found)


def report_agents(
    metrics: Metrics,
    counts: Mapping[str, AgentCounts],
    corrected: Mapping[str, AgentCounts],
) -> None:
    """Update the metrics by agent after a commit.

    Args:
        metrics: registry to update.
        counts: what was to become of the records.
        corrected: what to add, as from `corrections`: counters never fall.
    """
    total: defaultdict[str, AgentCounts] = defaultdict(AgentCounts)
    for agent, found in (*counts.items(), *corrected.items()):
        total[agent].add(found)
    for agent, found in total.items():
        for result, records in (
            ("accepted", found.accepted),
            ("refused", found.refused),
            ("duplicate", found.count(DUPLICATE)),
        ):
            if records:
                metrics.add(
                    "semloop_agent_records_total", records,
                    flow=FLOW, agent=agent, result=result,
                )  # fmt: skip


def _refusals(dead: pa.Table) -> Iterator[tuple[str, str, Tally]]:
    """Yield agent, reason and tally of each dead letter."""
    columns = [dead[name].to_pylist() for name in ("agent", "reason", "id", "detail")]
    for agent, reason, letter, detail in zip(*columns, strict=True):
        yield agent or "", reason, Tally(1, letter, detail or "")


def _accepted(events: pa.Table) -> list[tuple[str | None, int, int | None]]:
    """Return agent, number of events, and microseconds ahead of Kafka, at most."""
    times = [events[name].cast(pa.int64()) for name in ("ts", "kafka_ts")]
    columns = {"agent": events["agent"], "ahead": pc.subtract(*times)}
    groups = pa.table(columns).group_by("agent")
    found = groups.aggregate([("ahead", "count"), ("ahead", "max")])
    names = ("agent", "ahead_count", "ahead_max")
    return list(zip(*(found[name].to_pylist() for name in names), strict=True))
