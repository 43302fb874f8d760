"""Verifies that each event is in the lake once, each invalid record a dead letter."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semloop.command.demo.stack import DemoStack
from semloop.command.terminal.progress import POLL_S, ProgressCallback
from semloop.delta.snapshot import read_snapshot
from semloop.errors import Terminal
from semloop.flow_registry import ARCHIVE, LAKE_READERS
from semloop.lake.lake import Lake
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.kafka.topic import Topic

# Interval at which the backlog in Kafka is queried while rows are missing.
BACKLOG_POLL_S = 5.0
# A flow without a commit for this long is considered stalled.
STALLED_S = 60.0


@dataclass(frozen=True)
class Expected:
    """Counts that must be in the lake at the end."""

    events: int
    dead_letters: int
    repeated: int


def wait_for_lake(
    stack: DemoStack, expected: Expected, show: Callable[[int], None]
) -> None:
    """Wait until the flow has read all records, including invalid ones.

    Raises:
        Terminal: the flow or the broker died, or the flow is stalled.
    """
    required = expected.events + expected.dead_letters
    seen, changed_s, polled_s = -1, time.monotonic(), 0.0
    while True:
        stack.check()
        now_s = time.monotonic()
        found = rows_of(stack.storage)
        show(found)
        if found != seen:
            seen, changed_s = found, now_s
        due = now_s - max(changed_s, polled_s) > BACKLOG_POLL_S
        if found >= required or due:
            polled_s = now_s
            if _all_read(stack):
                return
        if now_s - changed_s > STALLED_S:
            raise _stalled(stack, ARCHIVE.name)
        time.sleep(POLL_S)


def wait_for_lake_readers(stack: DemoStack, show: ProgressCallback) -> None:
    """Wait until the other flows have read the events in the lake.

    Raises:
        Terminal: a flow or the broker died, or a flow is stalled.
    """
    from semloop.kafka.topic import TopicAdmin

    topic = TopicAdmin(stack.settings).describe()
    for flow in LAKE_READERS:
        _wait_for_reader(stack, flow, topic, show)


def _wait_for_reader(
    stack: DemoStack, flow: str, topic: "Topic", show: ProgressCallback
) -> None:
    from semloop.progress.positions import behind, positions, stream_of

    archived, partitions = stream_of(topic), topic.partitions
    ends = positions(stack.storage, archived, partitions).values()
    total = sum(at.last_offset + 1 for at in ends)
    seen, changed_s = -1, time.monotonic()
    while True:
        stack.check()
        done = total - sum(behind(stack.storage, flow, archived, partitions).values())
        show(flow, done, total)
        if done >= total:
            return
        if done != seen:
            seen, changed_s = done, time.monotonic()
        if time.monotonic() - changed_s > STALLED_S:
            raise _stalled(stack, flow)
        time.sleep(POLL_S)


def _stalled(stack: DemoStack, flow: str) -> Terminal:
    msg = f"The flow {flow} has not committed for {STALLED_S:g} s."
    return Terminal(msg, f"See {stack.log(flow)}.")


def check(lake: Lake, expected: Expected) -> str:
    """Compare the lake with the records sent; return a summary.

    Raises:
        Terminal: an event or dead letter is lost or duplicated.
    """
    query = (
        "SELECT (SELECT count(*) FROM events),"
        " (SELECT count(DISTINCT event_id) FROM events),"
        " (SELECT count(*) FROM dead_letters)"
    )
    events, ids, dead_letters = lake.sql(query).fetchall()[0]
    found = (
        f"{expected.events:,} events sent, {events:,} rows ({ids:,} distinct);"
        f" {expected.dead_letters:,} invalid records, {dead_letters:,} dead letters"
    )
    if (events, ids, dead_letters) != (
        expected.events, expected.events, expected.dead_letters,
    ):  # fmt: skip
        msg = f"The lake does not match the records sent: {found}."
        raise Terminal(msg, "This is a bug in SemLoop: please report it.")
    return (
        f"Sent: {events:,} events, {dead_letters:,} invalid records,"
        f" {expected.repeated} duplicate.\n"
        f"Stored: {events:,} rows, {dead_letters:,} dead letters:"
    )


def rows_of(storage: Storage) -> int:
    """Return the number of events and dead letters, from the tables' logs alone."""
    found = [read_snapshot(storage, t) for t in (*ARCHIVE.sides, ARCHIVE.main)]
    return sum(snapshot.row_count or 0 for snapshot in found if snapshot)


def _all_read(stack: DemoStack) -> bool:
    from semloop.kafka.topic import TopicAdmin
    from semloop.progress.backlog import missing
    from semloop.progress.positions import positions, stream_of

    topic = TopicAdmin(stack.settings).describe()
    found = positions(stack.storage, stream_of(topic), topic.partitions)
    return missing(stack.settings, found).is_empty
