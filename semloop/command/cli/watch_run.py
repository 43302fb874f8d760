"""One run of `semloop watch`: reads, sends, and writes the positions."""

import threading
import time
from typing import TYPE_CHECKING

from semloop.command.cli.watch_status import WatchStatus
from semloop.command.terminal.figures import format_count
from semloop.command.terminal.printing import note
from semloop.errors import BrokerError

if TYPE_CHECKING:
    from sources.following.follower import Follower
    from sources.following.mark import Mark
    from sources.following.outlet import Outlet
    from sources.following.positions import Positions

# Pause between two looks at the files that grew lately.
LOOK_S = 0.25
# Timeout for the broker, as long as it accepts events.
FLUSH_S = 5.0
# Pauses between two writes of the positions; in an object store each is billed. Writing
# may take this part of the time.
SAVE_S, SAVE_S3_S = 1.0, 30.0
SAVE_SHARE = 0.01


class WatchRun:
    """Follows files until the end of the process."""

    def __init__(
        self,
        follower: "Follower",
        outlet: "Outlet",
        positions: "Positions",
        stop: threading.Event,
        *,
        once: bool,
    ) -> None:
        """Read nothing yet.

        Args:
            follower: of the files.
            outlet: where their records go.
            positions: where the positions are stored.
            stop: set when the run should end.
            once: end when all is read.
        """
        self._follower, self._outlet, self._stop = follower, outlet, stop
        self._saver = _Saver(follower, outlet, positions)
        self._once = once
        self._unread = 0

    def follow(self, status: WatchStatus) -> None:
        """Read until a signal, or until all is read."""
        follower = self._follower
        follower.look(everywhere=True)
        status.begin()
        while not self._stop.is_set():
            busy = follower.work()
            follower.settle(immediately=self._once and not follower.waiting)
            if not self._once:
                follower.look()
            self._saver.work()
            status.show()
            if self._once and self._is_done:
                return
            if not busy:
                self._stop.wait(LOOK_S)

    @property
    def _is_done(self) -> bool:
        is_full = self._follower.is_blocked and not self._outlet.emitter.available
        return self._follower.is_level or is_full

    def end(self) -> None:
        """Send what was read, or leave it in the spool, and write the positions."""
        self._follower.settle(immediately=True)
        emitter, before = self._outlet.emitter, -1
        while not emitter.flush(FLUSH_S) and emitter.finished > before:
            before = emitter.finished
        self._unread = self._follower.waiting + self._follower.is_blocked
        self._saver.work(immediately=True)
        self._follower.close()

    def check(self) -> None:
        """Raise if not everything was read, although it should be.

        Raises:
            BrokerError: the broker is not available, and the spool is full.
        """
        if self._once and self._unread and not self._stop.is_set():
            files = format_count(self._unread, "file")
            msg = f"The spool is full, so {files} were not read completely."
            todo = "Start the broker and run the command again: nothing was lost."
            raise BrokerError(msg, todo)


class _Saver:
    """Writes the positions once the broker, or the spool, has what was read."""

    def __init__(
        self, follower: "Follower", outlet: "Outlet", positions: "Positions"
    ) -> None:
        self._follower, self._outlet, self._positions = follower, outlet, positions
        self._taken: list[Mark] | None = None
        self._stored = 0
        self._written: list[Mark] | None = None
        self._next_s = 0.0
        self._failed = False

    def work(self, *, immediately: bool = False) -> None:
        """Take the positions, or write those taken before, if it is time to."""
        positions, now_s = self._positions, time.monotonic()
        if not positions.is_kept or (now_s < self._next_s and not immediately):
            return
        if (self._taken is None or immediately) and not self._follower.is_blocked:
            self._taken, self._stored = self._follower.marks(), self._outlet.stored
        if self._taken is None or not self._outlet.is_safe(self._stored):
            return
        took_s = 0.0
        if self._taken != self._written:
            if not positions.save(self._taken) and not self._failed:
                self._failed = True
                note("The positions cannot be stored; the next start reads all again.")
            self._written = self._taken
            took_s = time.monotonic() - now_s
        self._taken = None
        pause_s = SAVE_S3_S if positions.on_s3 else SAVE_S
        self._next_s = now_s + max(pause_s, took_s / SAVE_SHARE)
