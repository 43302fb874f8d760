"""Sends what ended processes left in the spool, as `semloop spool send` does.

Agents do so too, but perhaps none runs: a script may have ended before the stack was
started, or while its broker was restarted.
"""

import fcntl
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from semloop.agent.spool.folder import left_by_all
from semloop.agent.spool.inspection import State, count_unsent, state_of
from semloop.agent.spool.names import spool_folder, spool_names
from semloop.agent.spool.orphans import SEARCH_S
from semloop.command.stack.scheduled_command import ScheduledCommand
from semloop.command.terminal.figures import format_count
from semloop.local.marks import mark, marked_processes
from semloop.settings import PREFIX, Settings

# Name of the process in its mark, and of its log.
SPOOL = "spool"
# Held while events are sent to the embedded broker, and by `down` while it waits until
# the broker has none left.
LOCK_FILE = "sending.lock"
POLL_S = 0.05
# Time for the supervisor to see that the command was killed.
KILLED_S = 5.0
# Pause after a run that did not succeed: each loads libraries for half a second.
AGAIN_S = 60.0


def count_left(settings: Settings) -> int:
    """Return the number of events that ended processes left for a broker and topic."""
    folder = spool_folder(settings)
    if folder is None:
        return 0
    found = left_by_all(folder, spool_names(settings))
    ended = [each for each in found if each.paths and state_of(each) is State.ENDED]
    return count_unsent(path for each in ended for path in each.paths)


@contextmanager
def no_sending(local: Path, lake_id: str, seconds: float) -> Iterator[None]:
    """Wait until no command sends events, and start none during the block.

    Args:
        local: the folder `_local` of the lake.
        lake_id: of the stack.
        seconds: how long to wait before the command is killed; what it had not sent
            stays in the spool.
    """
    deadline = time.monotonic() + seconds
    lock = None
    with suppress(OSError):  # a disk without room for a lock: `down` must still work
        while (lock := _locked(local)) is None:
            late_s = time.monotonic() - deadline
            if late_s > KILLED_S:
                break
            if late_s >= 0:
                _kill(lake_id)
            time.sleep(POLL_S)
    # One whose supervisor died, and the lock with it.
    _kill(lake_id)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


class LeftEvents(ScheduledCommand):
    """Runs the command that sends, while a stack runs and there is something to send.

    The command has the settings with which the stack was started, so it sends what was
    left for its lake and topic, and nothing else.
    """

    def __init__(
        self,
        settings: Settings,
        command: Sequence[str],
        log: Path,
        lake_id: str,
    ) -> None:
        """Search nothing yet.

        Args:
            settings: of the user, without the address of the stack's own broker: files
                for that one are named after the lake.
            command: sends what is left.
            log: of the command; in the folder `_local`.
            lake_id: of the stack.
        """
        self._settings = settings
        environ = {
            **os.environ,
            **mark(lake_id, SPOOL),
            f"{PREFIX}LAKE": settings.lake,
            f"{PREFIX}TOPIC": settings.topic,
        }
        super().__init__(command, log, environ, every_s=0.0)
        self._search_s = 0.0
        self._lock: int | None = None

    def poll(self) -> str:
        """Start the command when it is needed; return a line for the log, or ""."""
        if self._lock is None:
            return self._search() if time.monotonic() >= self._search_s else ""
        problem = super().poll()
        if not self.runs:
            self._unlock()
            self._search_s = time.monotonic() + (AGAIN_S if problem else SEARCH_S)
        return problem

    def stop(self) -> None:
        """Kill the command; what it had not sent stays in the spool."""
        super().stop()
        self._unlock()

    def _search(self) -> str:
        self._search_s = time.monotonic() + SEARCH_S
        if not (left := count_left(self._settings)):
            return ""
        try:
            self._lock = _locked(self._log.parent)
        except OSError as error:
            self._search_s = time.monotonic() + AGAIN_S
            return f"{LOCK_FILE} cannot be written: {error.strerror}"
        if self._lock is None:  # `down` has begun: they stay in the spool
            return ""
        if problem := super().poll():
            self._unlock()
            self._search_s = time.monotonic() + AGAIN_S
            return problem
        events = format_count(left, "event")
        return f"sending {events} that ended processes left in the spool: {self._log}"

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _kill(lake_id: str) -> None:
    for process in marked_processes(lake_id) if lake_id else ():
        if process.name == SPOOL:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def _locked(local: Path) -> int | None:
    """Return a descriptor with the lock; None if another process has it.

    Raises:
        OSError: the file cannot be written.
    """
    descriptor = os.open(local / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
