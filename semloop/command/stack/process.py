"""A process of a stack, which may have ended since a file named it."""

import time
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from semloop.errors import LakeError, MissingExtra
from semloop.extras import install_todo
from semloop.local.marks import has_mark

if TYPE_CHECKING:
    import psutil

# psutil derives start times from the wall clock, which may have been set since.
START_TIME_TOLERANCE_S = 2.0
POLL_S = 0.05


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
