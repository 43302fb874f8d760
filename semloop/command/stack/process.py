"""A process of a stack, which may have ended since a file named it."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import msgspec

from semloop.boot_clock import process_age_s
from semloop.errors import LakeError, MissingExtra
from semloop.extras import install_todo
from semloop.kafka.clients import listens
from semloop.local.marks import has_mark

if TYPE_CHECKING:
    import psutil

# psutil derives start times from the wall clock, which may have been set since.
START_TIME_TOLERANCE_S = 2.0
POLL_S = 0.05
T = TypeVar("T")


class Process(msgspec.Struct, frozen=True):
    """A process of a stack, distinguished from a later one with the same pid.

    lake_id: id of the lake whose mark the process has. The start time distinguishes
        processes whose mark cannot be read, and those without one.
    """

    pid: int
    create_time: float
    lake_id: str = ""

    @classmethod
    def of(cls, pid: int) -> Self:
        """Return the process that has this pid now."""
        return cls(pid, _psutil().Process(pid).create_time())

    def find(self) -> "psutil.Process | None":
        """Return a handle of the process; None if it no longer runs."""
        library = _psutil()
        try:
            process = library.Process(self.pid)
            difference_s = abs(process.create_time() - self.create_time)
            zombie = process.status() == library.STATUS_ZOMBIE
        except library.Error:
            return None
        found = has_mark(self.pid, self.lake_id) if self.lake_id else None
        if found is None:
            found = difference_s < START_TIME_TOLERANCE_S
        found = found and not zombie
        return cast("psutil.Process", process) if found else None

    def age_s(self) -> float | None:
        """Return for how long it has run; None if it ended, or the clock was set back.

        Without a boot clock it is counted by the wall clock.
        """
        age_s = process_age_s(self.pid)
        if age_s is None:
            age_s = time.time() - self.create_time
        return age_s if age_s >= 0 and self.find() else None

    def cpu_s(self) -> float | None:
        """Return the CPU seconds used so far; None if that is not known."""
        times = self._ask(lambda process: process.cpu_times())
        return None if times is None else float(times.user + times.system)

    def memory_bytes(self) -> int | None:
        """Return its resident memory; None if that is not known."""
        return self._ask(lambda process: int(process.memory_info().rss))

    def listens(self, address: str) -> bool:
        """Return True if it accepts connections at an address `HOST:PORT`.

        Where the system does not show the ports of a process, any server there counts.
        """
        port = int(address.rpartition(":")[2])
        found = self._ask(lambda process: process.net_connections("tcp"))
        if found is None:
            return self.find() is not None and listens(address)
        return any(at.status == "LISTEN" and at.laddr.port == port for at in found)

    def _ask(self, question: "Callable[[psutil.Process], T]") -> T | None:
        """Return the answer; None if it has ended, or the system refuses."""
        library = _psutil()
        process = self.find()
        try:
            return None if process is None else question(process)
        except library.Error:  # it ended just now, or is another user's
            return None

    def terminate(self, *, kill: bool = False) -> bool:
        """Terminate or kill the process; return False if it does not run.

        Raises:
            LakeError: it belongs to another user.
        """
        library = _psutil()
        if (process := self.find()) is None:
            return False
        try:
            process.kill() if kill else process.terminate()
        except library.NoSuchProcess:
            return False
        except library.AccessDenied:
            msg = f"The stack was started by another user, {process.username()}."
            todo = "That user can stop it: `semloop down`."
            raise LakeError(msg, todo) from None
        return True

    def stop(self, grace_s: float) -> None:
        """Terminate the process, and kill it after `grace_s`.

        Raises:
            LakeError: it belongs to another user.
        """
        for kill in (False, True):
            if not self.terminate(kill=kill):
                return
            # Not `Process.wait`: the parent may never reap it, leaving a zombie.
            deadline = time.monotonic() + grace_s
            while self.find() and time.monotonic() < deadline:
                time.sleep(POLL_S)


def _psutil() -> Any:
    try:
        import psutil
    except ModuleNotFoundError:
        msg = "The local stack needs the package 'psutil'."
        raise MissingExtra(msg, install_todo("local")) from None
    return psutil
