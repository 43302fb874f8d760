"""Resume check: does the broker still retain the next record of each partition?"""

import time
from collections.abc import Iterator, Mapping

from semloop.command.doctor import Finding, fail, ok, warn
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.durations import format_duration
from semloop.command.terminal.figures import format_count, format_list
from semloop.delta.streams import NEVER_READ
from semloop.kafka.topic import Topic
from semloop.progress.positions import Position

CHECK = "resume point"
# Warn when less than this share of the retention time is left.
MARGIN = 0.2


def check(context: CheckContext) -> Iterator[Finding]:
    """Compare the lake's positions with the offsets on the broker."""
    cluster, topic = context.require_cluster(), context.require_topic()
    context.require_storage()
    yield from _other_log(context, topic)
    positions = context.positions()
    ranges = cluster.offset_ranges(positions)
    # Ends found by reading: the watermarks of some brokers count a batch as one record.
    ends = {b.partition: b.end for b in context.missing().backlogs if not b.at_least}
    gone, lost = [], []
    for partition, at in positions.items():
        if at.last_offset == NEVER_READ:
            continue
        low, _ = ranges[partition]
        next_, end = at.last_offset + 1, ends.get(partition)
        if low > next_:
            gone.append(f"partition {partition}: {low - next_:,} from offset {next_}")
        elif end is not None and end < next_:
            lost.append(
                f"partition {partition} ends at {end}, the lake has read {next_ - 1}"
            )
    if gone:
        todo = "To continue after the gap, run once: semloop run archive --accept-gap"
        found = f"retention removed unread offsets: {format_list(gone)}"
        yield fail(CHECK, found, todo)
    if lost:
        todo = (
            "The broker lost records: delete the topic and recreate it to start over."
        )
        yield fail(CHECK, f"the broker is behind the lake: {format_list(lost)}", todo)
    if not gone and not lost:
        yield _age(context, positions)


def _age(context: CheckContext, positions: Mapping[int, Position]) -> Finding:
    """Compare the age of the oldest unread record with the retention time."""
    text = context.topic_config.get("retention.ms", "-1")
    retention_s = int(text) / 1000
    found = f"{format_count(len(positions), 'partition')}, no unread record was removed"
    oldest = [
        (b.oldest_ms, b.partition)
        for b in context.missing().backlogs
        if b.oldest_ms is not None
    ]
    if not oldest:
        return ok(CHECK, found)
    ms, partition = min(oldest)
    # Retention, too, counts from Kafka's timestamp.
    age_s = max(0.0, time.time() - ms / 1000)
    age = format_duration(age_s)
    found += f"; the oldest unread record is {age} old by Kafka's timestamp "
    found += f"(partition {partition})"
    if retention_s < 0:
        return ok(CHECK, found)
    found += f", retention is {format_duration(retention_s)}"
    if age_s <= (1 - MARGIN) * retention_s:
        return ok(CHECK, found)
    todo = "Start `semloop run archive` now, or raise the topic's retention.ms."
    return warn(CHECK, found, todo)


def _other_log(context: CheckContext, topic: Topic) -> Iterator[Finding]:
    """Check that the lake has read this cluster, this topic id and all partitions."""
    rows = [row for row in context.streams() if row.stream.topic == topic.name]
    if not rows:
        return
    newest = max(rows, key=lambda row: row.first_seen).stream
    here = [row for row in rows if row.stream.cluster_id == topic.cluster_id]
    same = {row.partition for row in here if row.partition.topic_id == topic.topic_id}
    if not here:
        found = f"the lake contains {topic.name!r} of cluster {newest.cluster_id!r}, "
        found += f"but this is cluster {topic.cluster_id!r}"
        todo = "If both belong in one lake, run: semloop run archive --new-log"
        yield fail(CHECK, found, todo)
    elif not same:
        found = f"topic {topic.name!r} was recreated (its id is {topic.topic_id}, "
        found += f"the lake read {newest.topic_id})"
        todo = "Start `archive`: it reads the new topic from the beginning. "
        todo += "Unread records of the old topic are lost."
        yield warn(CHECK, found, todo)
    elif len(same) < topic.partitions:
        found = f"{topic.partitions - len(same)} of {topic.partitions} partitions were "
        found += "added since `archive` last ran"
        todo = "Start `archive`: it reads them from the beginning."
        yield warn(CHECK, found, todo)
