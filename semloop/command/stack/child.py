"""A process that its supervisor restarts when it dies, with a bounded log."""

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semloop.command.stack.back_off import PAUSES_S, BackOff
from semloop.command.stack.process import Process
from semloop.command.stack.state import (
    RESTARTING,
    RUNNING,
    STOPPED,
    FlowState,
)
from semloop.errors import TakenOver

# Size at which a log is rotated; one older log is kept.
LOG_BYTES_MAX = 4 * 2**20


@dataclass
class Child:
    """A process and its restarts."""

    name: str
    command: Sequence[str]
    log: Path
    environ: Mapping[str, str]
    report: Callable[[str], None]
    restarts: int = 0
    exit_code: int | None = None
    stopped: bool = False
    _process: "subprocess.Popen[bytes] | None" = None
    _identity: Process | None = None
    _back_off: BackOff = field(default_factory=BackOff)
    _started_s: float = 0.0
    _due_s: float | None = field(default=None)

    @property
    def identity(self) -> Process | None:
        """Pid and start time of the process; None while it does not run."""
        return self._identity

    def start(self) -> None:
        """Start the process; its output is appended to its log."""
        rotate_log(self.log)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.environ),
            )
        self._identity = Process.of(self._process.pid)
        self._started_s, self._due_s = time.monotonic(), None

    def poll(self) -> bool:
        """Detect a death, restart when due; return True if the state changed."""
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return False
            self._died(code, now)
            return True
        if self._due_s is not None and now >= self._due_s:
            self.restarts += 1
            self._start_again(now)
            return True
        return False

    def state(self) -> FlowState:
        """Return the state for `stack.json`."""
        state = RUNNING if self._identity else RESTARTING
        state = STOPPED if self.stopped else state
        pid = self._identity.pid if self._identity else None
        started = self._identity.create_time if self._identity else None
        deaths = self._back_off.deaths
        return FlowState(pid, started, state, self.restarts, self.exit_code, deaths)

    def terminate(self) -> None:
        """Send SIGTERM, and do not restart the process."""
        self._due_s = None
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        self.terminate()
        self.reap(0.0)

    def reap(self, grace_s: float) -> None:
        """Wait for the end of the process; kill it after `grace_s`."""
        if self._process is None:
            return
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = self._identity = None

    def _start_again(self, now: float) -> None:
        try:
            self.start()
        except OSError as error:
            # Out of memory or disk space: the rest of the stack must keep running.
            self._due_s = now + PAUSES_S[-1]
            self.report(f"{self.name} cannot be started: {error.strerror}")

    def _died(self, code: int, now: float) -> None:
        self._process, self._identity, self.exit_code = None, None, code
        if code == TakenOver.exit_code:
            self.stopped = True
            self.report(
                f"{self.name} exited with {code}: not restarted; its log says why "
                "(`semloop health`, too)."
            )
            return
        pause_s = self._back_off.pause_s(now - self._started_s, code)
        self._due_s = now + pause_s
        self.report(f"{self.name} exited with {code}; restarting in {pause_s:g} s.")


def rotate_log(log: Path) -> None:
    """Move the content of a log that is too large to `<name>.1`."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        # Copied, not renamed: the process keeps appending to the same open file.
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        with log.open("r+b") as file:
            file.truncate()
