"""A command that is run now and then, one at a time."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from semloop.command.stack.child import bound


class ScheduledCommand:
    """Runs a command so long after its last end, and waits for none of them."""

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
        self._due_s = time.monotonic() + every_s
        self._process: subprocess.Popen[bytes] | None = None

    def look(self) -> str:
        """Start it when it is due; what went wrong with the last one, if anything."""
        now = time.monotonic()
        if self._process is None:
            return self._start() if now >= self._due_s else ""
        code = self._process.poll()
        if code is None:
            return ""
        self._process, self._due_s = None, now + self._every_s
        return f"{self._name} ended with {code}; see {self._log}." if code else ""

    def stop(self) -> None:
        """End it: it can be ended at any moment and run again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def _name(self) -> str:
        return " ".join(self._command[-2:])

    def _start(self) -> str:
        try:
            bound(self._log)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(self._environ),
                )
        except OSError as error:
            # No memory, no disk: what else runs must go on.
            self._due_s = time.monotonic() + self._every_s
            return f"{self._name} cannot be started: {error.strerror}"
        return ""
