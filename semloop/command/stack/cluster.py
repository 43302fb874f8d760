"""`semloop run FLOW --processes N`: the one process above the processes of a flow.

They run as Bytewax's own cluster, in which the death of one ends all. Nothing is lost
by that: the tables say where to go on, so all are started again together.
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
from semloop.command.stack.member import Command, End, Member, gravest, not_started
from semloop.errors import SemLoopError, TakenOver

# What ends with 1 so soon after the first start was given a wrong setting.
MISTAKE_S = 60.0
# Those who lose a peer end within 30 ms; who waits for peers that never come does not.
PEERS_END_S = 0.2

log = structlog.get_logger("cluster")


class Cluster:
    """Keeps the processes of a flow running, all or none."""

    def __init__(
        self, commands: Callable[[bool], Sequence[Command]], *, live: bool = False
    ) -> None:
        """Nothing is started yet; `run` does.

        Args:
            commands: whether it is the first start -> one command for each process.
            live: show all that the processes say, panics of Bytewax too.
        """
        self._commands = commands
        self._live = live

    def run(self) -> int:
        """Run until all ended well, one was taken over, or the start was a mistake.

        Returns:
            the exit code of the whole.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _asked_to_stop)
        back_off = BackOff()
        first = True
        while True:
            started_s = time.monotonic()
            end = gravest(self._run_once(first=first))
            if end.code == 0:
                return 0
            print(end.words, end="", file=sys.stderr, flush=True)
            lived_s = time.monotonic() - started_s
            mistake = first and end.code == SemLoopError.exit_code
            if end.code == TakenOver.exit_code or (mistake and lived_s < MISTAKE_S):
                return end.code
            pause_s = back_off.pause_s(lived_s)
            log.warning(
                "a process died, all start again",
                process=end.index,
                died_of=end.name,
                pause_s=pause_s,
            )
            time.sleep(pause_s)
            first = False

    def _run_once(self, *, first: bool) -> list[End]:
        """Start all, wait for one that dies or all that end; nothing is left running.

        Returns:
            the ends, in their order.
        """
        members: list[Member] = []
        try:
            for index, command in enumerate(self._commands(first)):
                try:
                    members.append(Member(index, command, live=self._live))
                except OSError as error:
                    return [not_started(index, error)]
            return _ends(members)
        finally:
            for member in members:
                member.kill()


def _ends(members: Sequence[Member]) -> list[End]:
    """Wait until all have ended, or a moment after the first that died."""
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
                end = key.data.listen()
                if end is None:
                    continue
                ends.append(end)
                selector.unregister(key.data)
                if end.code and deadline_s is None:
                    deadline_s = time.monotonic() + PEERS_END_S
    return ends


def free_addresses(count: int) -> list[str]:
    """Addresses of this machine that are free, all held until all are known."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [f"{HOST}:{each.getsockname()[1]}" for each in sockets]


def _asked_to_stop(number: int, frame: FrameType | None) -> None:
    """Leave as a shell reports this signal; on the way out all processes are killed."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)
