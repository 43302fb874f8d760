"""A command that runs at intervals, one run at a time."""

import math
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from semloop.command.stack.child import rotate_log

# Maintenance leaves the processors to the flows and the user's own programs.
NICENESS = 10
# A stack that is stopped every evening runs its daily commands, too.
FIRST_S_MAX = 600.0


class ScheduledCommand:
    """Runs a command `every_s` after the end of its last run, without blocking.

    The first run is at most ten minutes after the start. It never runs it if `every_s`
    is 0. The command has a lower priority than its caller.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environ: Mapping[str, str],
        every_s: float,
    ) -> None:
        self._command = command
        self._log = log
        self._environ = environ
        self._every_s = every_s
        self._due_s = time.monotonic() + (min(every_s, FIRST_S_MAX) or math.inf)
        self._process: subprocess.Popen[bytes] | None = None
        # Of the last run.
        self._problem = ""

    @property
    def runs(self) -> bool:
        """True from a start until `poll` has seen the end."""
        return self._process is not None

    def poll(self) -> str:
        """Start the command when it is due; return the error of the last run, or "".

        An error that was returned for the run before is left out: the log has both.
        """
        now = time.monotonic()
        if self._process is None:
            return self._start() if now >= self._due_s else ""
        code = self._process.poll()
        if code is None:
            return ""
        self._process, self._due_s = None, now + self._every_s
        before = self._problem
        self._problem = (
            f"{self._name} exited with {code}; see {self._log}." if code else ""
        )
        return "" if self._problem == before else self._problem

    def stop(self) -> None:
        """Kill the command; it can be interrupted at any moment and run again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def _name(self) -> str:
        words = [word for word in self._command if not word.startswith("-")]
        return " ".join(words[-2:])

    def _start(self) -> str:
        try:
            rotate_log(self._log)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(self._environ),
                )
        except OSError as error:
            # Out of memory or disk space: the rest of the stack must keep running.
            self._due_s = time.monotonic() + self._every_s
            return f"{self._name} cannot be started: {error.strerror}"
        with suppress(OSError):  # it may have ended already
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)
        return ""
