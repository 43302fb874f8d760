"""Clocks: this machine's against the store's, and against the newest record's time."""

import time
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime

from semloop.command.doctor import Finding, Skipped, fail, ok, skip, warn
from semloop.command.doctor.context import Known
from semloop.command.doctor.store import server_date
from semloop.command.terminal.durations import format_duration
from semloop.errors import SemLoopError
from semloop.storage.location import Storage

CHECK = "clock"
NEAR_S = 2.0
# Events that are later than now by more become dead letters; S3 refuses signatures
# after 15 minutes.
FAR_S = 300.0
# A date in HTTP has whole seconds.
HALF_S = 0.5
SET = "Set the clock of this machine by NTP, or that of the {other}."


def check(known: Known) -> Iterator[Finding]:
    """Compare; nothing is written to find out."""
    settings = known.need_settings()
    if settings.on_s3:
        yield _of_store(known.storage or Storage.of(settings))
    else:
        yield ok(CHECK, "the lake is on this machine: one clock")
    try:
        yield _of_records(known)
    except Skipped as reason:
        yield skip(CHECK, f"of the broker: {reason.reason}", reason.todo)


def _of_store(storage: Storage) -> Finding:
    asked_s = time.time()
    date = server_date(storage)
    here_s = (asked_s + time.time()) / 2
    if date is None:
        todo = "Compare it by hand: it must not differ by more than a few seconds."
        return skip(CHECK, "the object store does not tell its time", todo)
    ahead_s = here_s - (parsedate_to_datetime(date).timestamp() + HALF_S)
    # Less than what can be known from whole seconds and the time that it took.
    unsure_s = HALF_S + (time.time() - asked_s) / 2
    apart_s = max(0.0, abs(ahead_s) - unsure_s)
    side = "ahead of" if ahead_s > 0 else "behind"
    if apart_s <= NEAR_S:
        return ok(CHECK, f"within {NEAR_S:g} s of the object store's")
    found = (
        f"this clock is at least {format_duration(apart_s)} {side} the object store's"
    )
    todo = SET.format(other="store")
    return (fail if apart_s > FAR_S else warn)(CHECK, found, todo)


def _held(known: Known, partitions: range) -> dict[int, tuple[int, int]]:
    """Oldest offset and end; the end by reading, where there is a lake to read from."""
    held = known.need_cluster().held(partitions)
    with suppress(Skipped, SemLoopError):
        for backlog in known.missing().backlogs:
            low, high = held[backlog.partition]
            held[backlog.partition] = (low, max(high, backlog.end or 0))
    return held


def _of_records(known: Known) -> Finding:
    """A broker does not tell its time; a record may show that a clock is ahead."""
    cluster, topic = known.need_cluster(), known.need_topic()
    newest_ms = cluster.newest_ms(_held(known, range(topic.partitions)))
    if newest_ms is None:
        todo = "Ask again once there are events: a broker tells its time only in them."
        reason = "the topic is empty"
        raise Skipped(reason, todo)
    kind = known.topic_config.get("message.timestamp.type")
    of_broker = kind == "LogAppendTime"
    whose = "the broker's clock" if of_broker else "its producer's clock"
    ahead_s = newest_ms / 1000 - time.time()
    if ahead_s > NEAR_S:
        todo = SET.format(other="broker" if of_broker else "producer")
        ahead = format_duration(ahead_s)
        found = f"the newest record is from {ahead} in the future, by {whose}"
        return warn(CHECK, found, todo)
    age = format_duration(max(0.0, -ahead_s))
    return ok(CHECK, f"the newest record is {age} old by {whose}, not from the future")
