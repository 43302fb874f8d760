"""Sends what ended processes left in the spool, by the sender of the SDK."""

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from semloop.agent.local_stack import nearest_lake
from semloop.agent.sender import Sender
from semloop.agent.spool.chain import Chain
from semloop.agent.spool.inspection import State, count_unsent, unsent_of_all
from semloop.command.terminal.figures import format_count
from semloop.command.terminal.progress import ProgressCallback, step_progress
from semloop.errors import BrokerError
from semloop.settings import Settings

# Minimum pause between two counts of what is left, which read the files, and the part
# of the time that they may take.
COUNT_S = 1.0
COUNT_SHARE = 0.05
# Maximum pause between two calls of the sender, which may ask for longer ones.
PAUSE_S = 0.1


class Leftovers(NamedTuple):
    """Which events to send: those with one of these names in a folder."""

    folder: Path
    names: Sequence[str]

    def paths(self) -> list[Path]:
        """Return the segments of processes that have ended."""
        found = unsent_of_all(self.folder, self.names)
        return [
            p for each in found if each.state is State.ENDED for p in each.left.paths
        ]


@dataclass(frozen=True)
class Sent:
    """What became of the events.

    `target`: topic and address. `refused`: numbers of events by the reason why they
    could not be sent. `unavailable`: why the broker is; empty if it is available.
    """

    sent: int
    left: int
    target: str
    refused: dict[str, int]
    unavailable: str

    def check(self) -> None:
        """Raise unless everything was sent.

        Raises:
            BrokerError: the broker is unavailable, or refused events.
        """
        if self.left:
            events = format_count(self.left, "event")
            todo = f"Not sent: {events}. Check the broker and run the command again."
            msg = self.unavailable or f"Kafka is unavailable for {self.target}."
            raise BrokerError(msg, todo)
        if self.refused:
            why = next(iter(self.refused))
            count = sum(self.refused.values())
            events, verb = format_count(count, "event"), "was" if count == 1 else "were"
            msg = f"{events} cannot be sent, and {verb} removed: {why}."
            raise BrokerError(msg, "`semloop spool cat` prints events before that.")


def send_leftovers(settings: Settings, leftovers: Leftovers) -> Sent:
    """Send until nothing is left, or the broker was unavailable for `flush_s`."""
    paths = leftovers.paths()
    total = count_unsent(paths)
    refused: dict[str, int] = {}

    def drop(count: int, reason: str) -> None:
        refused[reason] = refused.get(reason, 0) + count

    with _warnings() as warnings, step_progress() as show:
        sender = Sender(settings, Chain(), drop, leftovers.names)
        sender.begin_close()
        try:
            if total:
                _run(sender, paths, settings.agent.flush_s, show)
        finally:
            sender.close()
    # Not what a process that runs has adopted meanwhile.
    left = count_unsent(set(paths).intersection(leftovers.paths()))
    why = warnings[-1] if left and warnings else ""
    sent = max(0, total - left - sum(refused.values()))
    return Sent(sent, left, target_of(settings), refused, why)


def _run(
    sender: Sender, paths: Sequence[Path], patience_s: float, show: ProgressCallback
) -> None:
    """Work until all is sent, or the broker is unavailable for longer."""
    total = count_unsent(paths)
    available_s = now_s = time.monotonic()
    count_s = now_s + COUNT_S
    while not sender.done:
        time.sleep(min(PAUSE_S, sender.work()))
        now_s = time.monotonic()
        if sender.may_succeed:
            available_s = now_s
        elif now_s - available_s > patience_s:
            return
        if sys.stderr.isatty() and now_s > count_s:
            left = count_unsent(paths)
            if left < total:
                show("Sending", total - left, total)
            took_s = time.monotonic() - now_s
            count_s = now_s + max(COUNT_S, took_s / COUNT_SHARE)


class _Warnings(logging.Handler):
    """Keeps what the sender logs, instead of printing it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.texts.append(record.getMessage())


@contextmanager
def _warnings() -> Iterator[list[str]]:
    log, handler = logging.getLogger("semloop"), _Warnings()
    log.addHandler(handler)
    log.propagate, before = False, log.propagate
    try:
        yield handler.texts
    finally:
        log.removeHandler(handler)
        log.propagate = before


def target_of(settings: Settings) -> str:
    """Return where the settings send to, for people."""
    if settings.kafka is None:
        return f"the topic {settings.topic!r} of the stack of {nearest_lake(settings)}"
    return f"the topic {settings.topic!r} at {settings.kafka}"
