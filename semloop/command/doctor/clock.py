"""Clock check: local clock against the object store and the newest record."""

import time
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime

from semloop.command.doctor import Finding, Skipped, fail, ok, skip, warn
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.store import server_date
from semloop.command.terminal.durations import format_duration
from semloop.errors import SemLoopError
from semloop.storage.location import Storage

CHECK = "clock"
TOLERANCE_S = 2.0
# Events dated further in the future than this become dead letters; S3 rejects
# signatures that are off by 15 minutes.
SKEW_S_MAX = 300.0
# HTTP dates have a resolution of one second: the expected error is half of it.
HALF_S = 0.5
SYNC = "Synchronize the clock of this machine, or that of the {other}, with NTP."


def check(context: CheckContext) -> Iterator[Finding]:
    """Compare the clocks without writing anything."""
    settings = context.require_settings()
    if settings.on_s3:
        yield _store_clock(context.storage or Storage.of(settings))
    else:
        yield ok(CHECK, "the lake is on this machine: no clock to compare")
    try:
        yield _newest_record(context)
    except Skipped as skipped:
        yield skip(CHECK, f"broker clock: {skipped.reason}", skipped.todo)


def _store_clock(storage: Storage) -> Finding:
    started_s = time.time()
    date = server_date(storage)
    local_s = (started_s + time.time()) / 2
    if date is None:
        todo = "Compare the clocks by hand: they must agree within a few seconds."
        return skip(CHECK, "the object store sends no date", todo)
    ahead_s = local_s - (parsedate_to_datetime(date).timestamp() + HALF_S)
    # Subtract the uncertainty from the one-second resolution and the round trip.
    uncertainty_s = HALF_S + (time.time() - started_s) / 2
    skew_s = max(0.0, abs(ahead_s) - uncertainty_s)
    if skew_s <= TOLERANCE_S:
        found = f"local clock is within {TOLERANCE_S:g} s of the object store's clock"
        return ok(CHECK, found)
    side = "ahead of" if ahead_s > 0 else "behind"
    skew = format_duration(skew_s)
    found = f"local clock is at least {skew} {side} the object store's clock"
    todo = SYNC.format(other="object store")
    return (fail if skew_s > SKEW_S_MAX else warn)(CHECK, found, todo)


def _offset_ranges(
    context: CheckContext, partitions: range
) -> dict[int, tuple[int, int]]:
    """Return oldest and end offset; the end is read if a lake exists."""
    ranges = context.require_cluster().offset_ranges(partitions)
    with suppress(Skipped, SemLoopError):
        for backlog in context.missing().backlogs:
            low, high = ranges[backlog.partition]
            ranges[backlog.partition] = (low, max(high, backlog.end or 0))
    return ranges


def _newest_record(context: CheckContext) -> Finding:
    """Check for a clock that is ahead; brokers report their time only in records."""
    cluster, topic = context.require_cluster(), context.require_topic()
    newest_ms = cluster.newest_ms(_offset_ranges(context, range(topic.partitions)))
    if newest_ms is None:
        todo = "Run `semloop doctor` again once the topic contains events."
        reason = "the topic is empty"
        raise Skipped(reason, todo)
    timestamp_type = context.topic_config.get("message.timestamp.type")
    by_broker = timestamp_type == "LogAppendTime"
    clock = "the broker's clock" if by_broker else "its producer's clock"
    ahead_s = newest_ms / 1000 - time.time()
    if ahead_s > TOLERANCE_S:
        todo = SYNC.format(other="broker" if by_broker else "producer")
        ahead = format_duration(ahead_s)
        found = f"the newest record is dated {ahead} in the future by {clock}"
        return warn(CHECK, found, todo)
    age = format_duration(max(0.0, -ahead_s))
    return ok(CHECK, f"the newest record is {age} old by {clock}, not in the future")
