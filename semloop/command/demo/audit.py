"""Whether what went in came out: each event once, what is none as a dead letter."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semloop.command.demo.stack import DemoStack
from semloop.command.terminal.progress import POLL_S, Show
from semloop.delta.snapshot import read_snapshot
from semloop.errors import Terminal
from semloop.flow_registry import ARCHIVE, LAKE_READERS
from semloop.lake.lake import Lake
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.kafka.topic import Topic

# While less comes than was sent, the broker is asked so often whether more is there.
ASK_S = 5.0
# A flow that commits nothing for so long does not do so any more.
STANDS_STILL_S = 60.0


@dataclass(frozen=True)
class Expected:
    """What must be in the lake at the end."""

    events: int
    dead_letters: int
    repeated: int


def wait_for_lake(
    stack: DemoStack, expected: Expected, show: Callable[[int], None]
) -> None:
    """Wait until the flow has read all that there is, whatever became of it.

    Raises:
        Terminal: the flow or the broker died, or nothing moves any more.
    """
    wanted = expected.events + expected.dead_letters
    seen, moved_s, asked_s = -1, time.monotonic(), 0.0
    while True:
        stack.check()
        now_s = time.monotonic()
        found = rows_of(stack.storage)
        show(found)
        if found != seen:
            seen, moved_s = found, now_s
        due = now_s - max(moved_s, asked_s) > ASK_S
        if found >= wanted or due:
            asked_s = now_s
            if _all_read(stack):
                return
        if now_s - moved_s > STANDS_STILL_S:
            raise _stands_still(stack, ARCHIVE.name)
        time.sleep(POLL_S)


def wait_for_lake_readers(stack: DemoStack, show: Show) -> None:
    """Wait until the other flows have read the events that are in the lake.

    Raises:
        Terminal: a flow or the broker died, or nothing moves any more.
    """
    from semloop.kafka.topic import TopicAdmin

    topic = TopicAdmin(stack.settings).describe()
    for flow in LAKE_READERS:
        _wait_for_reader(stack, flow, topic, show)


def _wait_for_reader(stack: DemoStack, flow: str, topic: "Topic", show: Show) -> None:
    from semloop.progress.positions import behind, positions, stream_of

    archived, partitions = stream_of(topic), topic.partitions
    ends = positions(stack.storage, archived, partitions).values()
    total = sum(at.last_offset + 1 for at in ends)
    seen, moved_s = -1, time.monotonic()
    while True:
        stack.check()
        done = total - sum(behind(stack.storage, flow, archived, partitions).values())
        show(flow, done, total)
        if done >= total:
            return
        if done != seen:
            seen, moved_s = done, time.monotonic()
        if time.monotonic() - moved_s > STANDS_STILL_S:
            raise _stands_still(stack, flow)
        time.sleep(POLL_S)


def _stands_still(stack: DemoStack, flow: str) -> Terminal:
    msg = f"The flow {flow} has committed nothing for {STANDS_STILL_S:g} s."
    return Terminal(msg, f"See {stack.log(flow)}.")


def check(lake: Lake, expected: Expected) -> str:
    """Compare what is in the lake with what went in; gives the figures.

    Raises:
        Terminal: something is lost or doubled.
    """
    query = (
        "SELECT (SELECT count(*) FROM events),"
        " (SELECT count(DISTINCT event_id) FROM events),"
        " (SELECT count(*) FROM dead_letters)"
    )
    events, ids, dead_letters = lake.sql(query).fetchall()[0]
    found = (
        f"{expected.events:,} events in, {events:,} rows ({ids:,} different);"
        f" {expected.dead_letters:,} broken records, {dead_letters:,} dead letters"
    )
    if (events, ids, dead_letters) != (
        expected.events, expected.events, expected.dead_letters,
    ):  # fmt: skip
        msg = f"The lake does not hold what went in: {found}."
        raise Terminal(msg, "This is a defect of SemLoop: please report it.")
    return (
        f"{events:,} events in, {events:,} rows, {dead_letters:,} dead letters,"
        f" {expected.repeated} repeated event dropped:"
    )


def rows_of(storage: Storage) -> int:
    """Events and dead letters in the lake, by the tables' logs: no file is opened."""
    found = [read_snapshot(storage, t) for t in (*ARCHIVE.sides, ARCHIVE.main)]
    return sum(snapshot.row_count or 0 for snapshot in found if snapshot)


def _all_read(stack: DemoStack) -> bool:
    from semloop.kafka.topic import TopicAdmin
    from semloop.progress.backlog import missing
    from semloop.progress.positions import positions, stream_of

    topic = TopicAdmin(stack.settings).describe()
    found = positions(stack.storage, stream_of(topic), topic.partitions)
    return missing(stack.settings, found).nothing
