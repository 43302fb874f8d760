"""Check of the freshness: the age of the oldest record that cannot be queried yet."""

import time
from typing import TYPE_CHECKING

from semloop.command.health import Check, Status, passed
from semloop.command.terminal.durations import format_duration
from semloop.settings import Settings
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.kafka.topic import Topic

LATE_S, VERY_LATE_S = 30.0, 300.0
# The first records of each partition tell the age of the oldest. If everything is in
# the lake, the broker says so within a fraction of the time.
RECORDS_MAX = 2_000
READ_S = 2.0


def freshness_check(settings: Settings, storage: Storage, topic: "Topic") -> Check:
    """Compare the broker's records with the positions of `archive` in the lake.

    Raises:
        BrokerError: the broker refuses to let us read.
        LakeError: the lake cannot be read. StorageUnavailable: temporarily.
    """
    from semloop.progress.backlog import missing
    from semloop.progress.positions import positions, stream_of

    code = "flow.fresh"
    found = positions(storage, stream_of(topic), topic.partitions)
    left = missing(settings, found, RECORDS_MAX, READ_S)
    ages_s = [
        _age_s(backlog.oldest_ms, found[backlog.partition].caught_up_ms)
        for backlog in left.backlogs
        if backlog.oldest_ms is not None
    ]
    age_s = max(ages_s, default=0.0)
    figures = {"age_s": round(age_s, 1), "waiting": left.records}
    # Records wait for a commit at least as long as it is set to.
    late_s = LATE_S + settings.commits.interval_s
    very_late_s = VERY_LATE_S + settings.commits.interval_s
    unread = any(b.at_least and b.oldest_ms is None for b in left.backlogs)
    if age_s <= late_s and unread:
        what = f"{left} are not in the lake; the broker did not send them in time"
        return Check(code, Status.NOTE, what, "Run `semloop health` again.", figures)
    if age_s <= late_s:
        what = f"records can be queried within {format_duration(late_s, 1)}"
        return passed(code, what, **figures)
    what = "the oldest record that cannot be queried yet waits for "
    what += f"{format_duration(age_s)}; {left} are not in the lake"
    todo = "Start `archive` (`semloop up`, `semloop run archive`), or read its log; "
    todo += "after a large import, wait: `semloop status` shows whether the lag falls."
    status = Status.FAIL if age_s > very_late_s else Status.WARN
    return Check(code, status, what, todo, figures)


def _age_s(oldest_ms: int, caught_up_ms: int | None) -> float:
    """Return for how long a record waits at most.

    Its timestamp is by its producer's clock, which may be behind; but it came after
    `archive` had last read all records of its partition.
    """
    return max(0.0, time.time() - max(oldest_ms, caught_up_ms or 0) / 1_000)
