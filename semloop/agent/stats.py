"""What has become of the events of a process."""

from collections.abc import Mapping
from typing import Any

import msgspec


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of events since the process started, or was forked.

    Every event that an agent emits is refused, dropped, waiting or delivered.
    """

    emitted: int
    """Events that were not refused, nor left out by sampling."""

    delivered: int
    """Events that the broker has acknowledged."""

    waiting: int
    """Events in memory or in the spool that this process has still to deliver."""

    dropped: Mapping[str, int]
    """Events that could not be stored, by reason."""

    refused: int
    """Events of this agent that were not valid."""

    broker_available: bool | None
    """Whether the broker answers; None while nothing is known of it."""


def stats_of(emitter: Any, refused: int) -> Stats:
    """Return the numbers of an emitter, with those of one agent."""
    if hasattr(emitter, "stats"):
        found: Stats = msgspec.structs.replace(emitter.stats(), refused=refused)
        return found
    dropped, done = emitter.dropped, emitter._done
    waiting = max(0, emitter._queued - done)
    delivered = max(0, done - dropped)
    sender = emitter._sender
    available = None
    if sender is not None and sender._unavailable:
        available = False
    elif sender is not None and sender._producer is not None:
        available = True
    return Stats(
        emitted=delivered + waiting + dropped,
        delivered=delivered,
        waiting=waiting,
        dropped={"not stored": dropped} if dropped else {},
        refused=refused,
        broker_available=available,
    )
