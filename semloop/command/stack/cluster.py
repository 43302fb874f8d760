"""`semloop run FLOW --processes N`: the parent of the processes of a flow.

They form a Bytewax cluster, in which the death of one process ends all. No event is
lost: all are restarted and resume from the positions stored in the tables.
"""

import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import FrameType

import structlog

from semloop.command.stack.back_off import BackOff
from semloop.command.stack.broker import HOST
from semloop.command.stack.member import (
    Command,
    End,
    Member,
    most_severe,
    start_failure,
)
from semloop.command.terminal.printing import note
from semloop.errors import SemLoopError, TakenOver

# Exit code 1 this soon after the first start means a wrong setting or argument.
USAGE_ERROR_S = 60.0
# Processes that lose a peer exit within 30 ms; one that still waits for its peers to
# connect does not exit by itself.
PEERS_END_S = 0.2

log = structlog.get_logger("cluster")


class Cluster:
    """Keeps the processes of a flow running, either all or none."""

    def __init__(
        self, commands: Callable[[bool], Sequence[Command]], *, live: bool = False
    ) -> None:
        """Prepare the cluster; `run` starts it.

        Args:
            commands: returns one command per process; called with True at the first
                start.
            live: print all stderr output of the processes, Bytewax panics included.
        """
        self._commands = commands
        self._live = live

    def run(self) -> int:
        """Run until all succeed, one is taken over, or the first start fails.

        Returns:
            the exit code of the flow.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _request_stop)
        back_off = BackOff()
        first = True
        while True:
            started_s = time.monotonic()
            end = most_severe(self._run_once(first=first))
            if end.code == 0:
                return 0
            note(end.message, end="")
            lived_s = time.monotonic() - started_s
            usage_error = first and end.code == SemLoopError.exit_code
            if end.code == TakenOver.exit_code or (
                usage_error and lived_s < USAGE_ERROR_S
            ):
                return end.code
            pause_s = back_off.pause_s(lived_s, end.code)
            log.warning(
                "process died, restarting all processes",
                process=end.index,
                died_of=end.name,
                pause_s=pause_s,
            )
            time.sleep(pause_s)
            first = False

    def _run_once(self, *, first: bool) -> list[End]:
        """Start all processes, wait until one dies or all end, and kill the rest.

        Returns:
            the ends in chronological order.
        """
        members: list[Member] = []
        try:
            for index, command in enumerate(self._commands(first)):
                try:
                    members.append(Member(index, command, live=self._live))
                except OSError as error:
                    return [start_failure(index, error)]
            return _ends(members)
        finally:
            for member in members:
                member.kill()


def _ends(members: Sequence[Member]) -> list[End]:
    """Wait until all have ended, or until `PEERS_END_S` after the first death."""
    ends: list[End] = []
    deadline_s: float | None = None
    with selectors.DefaultSelector() as selector:
        for member in members:
            selector.register(member, selectors.EVENT_READ, member)
        while selector.get_map():
            left_s = deadline_s and deadline_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                break
            for key, _ in selector.select(left_s):
                end = key.data.read()
                if end is None:
                    continue
                ends.append(end)
                selector.unregister(key.data)
                if end.code and deadline_s is None:
                    deadline_s = time.monotonic() + PEERS_END_S
    return ends


def free_addresses(count: int) -> list[str]:
    """Return `count` different addresses with free ports on this machine."""
    with ExitStack() as bound:
        sockets = [bound.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [f"{HOST}:{each.getsockname()[1]}" for each in sockets]


def _request_stop(number: int, frame: FrameType | None) -> None:
    """Exit with the shell's code for this signal; `_run_once` kills all processes."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)
