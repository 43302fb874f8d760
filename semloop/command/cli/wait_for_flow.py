"""Waits until a flow of the local stack has committed what is available now."""

import time
from typing import TYPE_CHECKING

from semloop.command.stack.state import (
    RESTARTING,
    RUNNING,
    FlowState,
    LocalFolder,
    running_stack,
)
from semloop.command.terminal.progress import POLL_S, spinner
from semloop.errors import Terminal
from semloop.flow_registry import KAFKA, STREAMING
from semloop.settings import Settings
from semloop.storage.location import Storage

if TYPE_CHECKING:
    from semloop.progress.positions import Position


def running_state(settings: Settings, flow: str) -> FlowState | None:
    """Return the state of the flow in the running stack; None if it does not run."""
    stack = running_stack(settings)
    state = stack.flows.get(flow) if stack else None
    return state if state and state.state in (RUNNING, RESTARTING) else None


def wait_for_flow(
    settings: Settings, flow: str, patience_s: float | None = None
) -> bool:
    """Wait until the running flow has committed everything available now.

    That is the end of the topic for flows that read it, and what `archive` has
    committed for others.

    Args:
        settings: of the lake.
        flow: its name.
        patience_s: how long to wait without any progress; None: indefinitely.

    Returns:
        False if there was no progress for that long.

    Raises:
        Terminal: the flow was stopped, or keeps dying.
        TopicChanged: the topic was created again.
    """
    from semloop.kafka.topic import TopicAdmin
    from semloop.progress.backlog import missing
    from semloop.progress.positions import positions, positions_of, stream_of

    stack = running_stack(settings)
    settings = stack.settings(settings) if stack else settings
    storage, admin = Storage.of(settings), TopicAdmin(settings)
    topic = admin.describe()

    def now() -> "dict[int, Position]":
        return positions_of(storage, flow, stream_of(topic), topic.partitions)

    with spinner(f"Waiting for {flow} ...") as update:
        if STREAMING[flow].reads == KAFKA:
            backlogs = missing(settings, now(), None, None).backlogs
            ends = {b.partition: b.end or 0 for b in backlogs}
        else:
            archived = positions(storage, stream_of(topic), topic.partitions)
            ends = {p: at.last_offset + 1 for p, at in archived.items()}
        least, since = None, time.monotonic()
        while left := _left(now(), ends):
            if least is None or left < least:
                least, since = left, time.monotonic()
            elif patience_s is not None and time.monotonic() - since > patience_s:
                return False
            update(f"Waiting for {flow}: {left:,} offsets left ...")
            state = running_state(settings, flow)
            if state is None:
                msg = f"The flow {flow} was stopped with {left:,} offsets left."
                raise Terminal(msg, "Start it again: `semloop up`.")
            if state.is_failed:
                msg = f"The flow {flow} keeps dying, with {left:,} offsets left."
                raise Terminal(msg, f"See {LocalFolder.of(settings).log(flow)}.")
            time.sleep(POLL_S)
            admin.check_unchanged(topic)
    return True


def _left(found: "dict[int, Position]", ends: dict[int, int]) -> int:
    return sum(max(0, ends[p] - 1 - at.last_offset) for p, at in found.items())
