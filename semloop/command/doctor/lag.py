"""Lag check: records not in the lake yet, and the offsets that lag monitors see."""

import time
from collections.abc import Iterator

from semloop.command.doctor import Finding, ok, skip, warn
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.figures import format_count
from semloop.errors import BrokerError
from semloop.progress.backlog import Missing

CHECK = "lag"
# A running flow commits every second; the rest is time to catch up.
LATE_S = 300
# The group's offsets follow each commit, so a running flow differs by a commit or two.
NEAR_RECORDS = 10_000
NEAR_SHARE = 0.1


def check(context: CheckContext) -> Iterator[Finding]:
    """Compute lag from the lake's positions, which are authoritative, and the group."""
    from sinks.archive_tables import FLOW

    cluster = context.require_cluster()
    missing = context.missing()
    yield _lake_lag(missing)
    group = f"semloop-{FLOW}"
    ends = {b.partition: b.end or b.next_offset for b in missing.backlogs}
    try:
        committed = cluster.committed(group, ends)
    except BrokerError as error:
        yield skip(CHECK, f"group {group!r}: {error.what}", error.todo)
        return
    positions = {p: at.last_offset + 1 for p, at in context.positions().items()}
    if all(offset is None for offset in committed.values()):
        if any(positions.values()):
            yield _stale(f"group {group!r} has no offsets")
        else:
            yield ok(CHECK, f"group {group!r} has no offsets yet")
        return
    difference = sum(abs((committed[p] or 0) - positions[p]) for p in ends)
    behind = sum(max(0, end - (committed[p] or 0)) for p, end in ends.items())
    found = f"group {group!r} is {format_count(behind, 'offset')} behind"
    if difference > max(NEAR_RECORDS, NEAR_SHARE * sum(positions.values())):
        yield _stale(f"{found} and differs from the lake by {difference:,}")
    else:
        yield ok(CHECK, f"{found} (used by lag monitors only)")


def _lake_lag(missing: Missing) -> Finding:
    if missing.is_empty:
        return ok(CHECK, "everything is in the lake")
    found = f"{missing} not in the lake yet (partition {missing.by_partition()})"
    oldest = [b.oldest_ms for b in missing.backlogs if b.oldest_ms is not None]
    # An unread record has no other time; its producer's clock may be off.
    age_s = max(0.0, time.time() - min(oldest) / 1000) if oldest else 0
    age = format_duration(age_s)
    found += f", the oldest {age} old by Kafka's timestamp" if oldest else ""
    if missing.at_least and not oldest:
        todo = "Run `semloop doctor` again: the end was not reached in time."
        return skip(CHECK, found, todo)
    if age_s <= LATE_S:
        return ok(CHECK, found)
    todo = "Start `archive` (`semloop up`, `semloop run archive`), or check its log; "
    todo += "if it has just been sent, the clock of its producer is behind."
    return warn(CHECK, found, todo)


def _stale(found: str) -> Finding:
    todo = "Use `semloop status` instead: only lag monitors read the group, and the "
    todo += "next commit of `archive` corrects it."
    return warn(CHECK, f"{found}: it is stale", todo)
