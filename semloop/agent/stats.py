"""What has become of the events of a process."""

from collections.abc import Mapping

import msgspec

from semloop.agent.emitter import Emitter


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

    in_memory: int
    """Those of them that are not in the spool, and would be lost with the process."""

    dropped: Mapping[str, int]
    """Events that could not be stored or sent, by reason; also of those that ended
    processes left and this one could not send."""

    refused: int
    """Events of this agent that were not valid."""

    broker_available: bool | None
    """Whether the broker answers; None while nothing is known of it."""


def stats_of(emitter: Emitter, refused: int) -> Stats:
    """Return the numbers of an emitter, with those of one agent."""
    # In this order: events that are emitted meanwhile must not count as delivered.
    finished, delivered = emitter.finished, emitter.delivered
    dropped = emitter.drops.counts()
    waiting = max(0, emitter.writer.emitted - finished)
    return Stats(
        emitted=delivered + waiting + sum(dropped.values()),
        delivered=delivered,
        waiting=waiting,
        in_memory=min(waiting, emitter.writer.in_memory),
        dropped=dropped,
        refused=refused,
        broker_available=emitter.available,
    )
