"""Retention against the resume point: is what comes next still there?"""

import time
from collections.abc import Iterator, Mapping

from semloop.command.doctor import Finding, fail, ok, warn
from semloop.command.doctor.context import Known
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.figures import format_count, format_list
from semloop.delta.streams import NEVER_READ
from semloop.kafka.topic import Topic
from semloop.progress.positions import Position

CHECK = "resume point"
# What is left of the retention time when it is high time.
MARGIN = 0.2


def check(known: Known) -> Iterator[Finding]:
    """Compare the lake's positions with what the broker holds."""
    cluster, topic = known.need_cluster(), known.need_topic()
    known.need_storage()
    yield from _other_log(known, topic)
    positions = known.positions()
    held = cluster.held(positions)
    # By reading, since the embedded broker counts a batch as one record.
    ends = {b.partition: b.end for b in known.missing().backlogs if not b.at_least}
    gone, lost = [], []
    for partition, at in positions.items():
        if at.last_offset == NEVER_READ:
            continue
        low, _ = held[partition]
        next_, end = at.last_offset + 1, ends.get(partition)
        if low > next_:
            gone.append(f"partition {partition}: {low - next_:,} from {next_} on")
        elif end is not None and end < next_:
            lost.append(f"partition {partition} ends at {end}, {next_ - 1} was read")
    if gone:
        todo = "To go on behind them start once: semloop run archive --accept-gap"
        found = f"offsets that were not read are gone (retention): {format_list(gone)}"
        yield fail(CHECK, found, todo)
    if lost:
        todo = "The broker lost records; make the topic anew to start over."
        yield fail(CHECK, f"the broker is behind the lake: {format_list(lost)}", todo)
    if not gone and not lost:
        yield _age(known, positions)


def _age(known: Known, positions: Mapping[int, Position]) -> Finding:
    """How near the oldest record that was not read is to its removal."""
    text = known.topic_config.get("retention.ms", "-1")
    kept_s = int(text) / 1000
    found = f"{format_count(len(positions), 'partition')}, nothing unread was removed"
    oldest = [
        (b.oldest_ms, b.partition)
        for b in known.missing().backlogs
        if b.oldest_ms is not None
    ]
    if not oldest:
        return ok(CHECK, found)
    ms, partition = min(oldest)
    age_s = time.time() - ms / 1000
    age = format_duration(age_s)
    found += f"; the oldest unread record is {age} old (partition {partition})"
    if kept_s < 0:
        return ok(CHECK, found)
    found += f", retention is {format_duration(kept_s)}"
    if age_s <= (1 - MARGIN) * kept_s:
        return ok(CHECK, found)
    todo = "Start `semloop run archive` now, or raise the topic's retention.ms."
    return warn(CHECK, found, todo)


def _other_log(known: Known, topic: Topic) -> Iterator[Finding]:
    """The lake may know the name by another cluster, another id or fewer partitions."""
    rows = [row for row in known.streams() if row.stream.topic == topic.name]
    if not rows:
        return
    newest = max(rows, key=lambda row: row.first_seen).stream
    here = [row for row in rows if row.stream.cluster_id == topic.cluster_id]
    same = {row.partition for row in here if row.partition.topic_id == topic.topic_id}
    if not here:
        found = f"the lake holds {topic.name!r} of cluster {newest.cluster_id!r}, "
        found += f"this is cluster {topic.cluster_id!r}"
        todo = "If both belong in one lake: semloop run archive --new-log"
        yield fail(CHECK, found, todo)
    elif not same:
        found = f"topic {topic.name!r} was made again (its id is {topic.topic_id}, "
        found += f"the lake read {newest.topic_id})"
        todo = "Start `archive`: it reads the new topic from its beginning. "
        todo += "What it had not read of the old one is gone."
        yield warn(CHECK, found, todo)
    elif len(same) < topic.partitions:
        found = f"{topic.partitions - len(same)} of {topic.partitions} partitions were "
        found += "added since `archive` looked"
        todo = "Start `archive`: it reads them from their beginning."
        yield warn(CHECK, found, todo)
