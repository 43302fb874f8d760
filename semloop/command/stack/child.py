"""A process that its supervisor starts again when it dies, with a bounded log."""

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semloop.command.stack.back_off import PAUSES_S, BackOff
from semloop.command.stack.state import (
    RESTARTING,
    RUNNING,
    TAKEN_OVER,
    FlowState,
    Process,
)
from semloop.errors import TakenOver

# A log is kept twice at most: the one that is written and the one before it.
LOG_BYTES_MAX = 4 * 2**20


@dataclass
class Child:
    """One process and its restarts."""

    name: str
    command: Sequence[str]
    log: Path
    environ: Mapping[str, str]
    say: Callable[[str], None]
    restarts: int = 0
    exit_code: int | None = None
    taken_over: bool = False
    _process: "subprocess.Popen[bytes] | None" = None
    _known: Process | None = None
    _back_off: BackOff = field(default_factory=BackOff)
    _started_s: float = 0.0
    _due_s: float | None = field(default=None)

    @property
    def known(self) -> Process | None:
        """The process as others can verify it; None while it does not run."""
        return self._known

    def start(self) -> None:
        """Start it, at the end of its log."""
        bound(self.log)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.environ),
            )
        self._known = Process.of(self._process.pid)
        self._started_s, self._due_s = time.monotonic(), None

    def look(self) -> bool:
        """Note a death, and start again when it is time; whether anything changed."""
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
        """What `stack.json` says about it."""
        if self.taken_over:
            state = TAKEN_OVER
        else:
            state = RUNNING if self._known else RESTARTING
        pid = self._known.pid if self._known else None
        started = self._known.create_time if self._known else None
        deaths = self._back_off.deaths
        return FlowState(pid, started, state, self.restarts, self.exit_code, deaths)

    def terminate(self) -> None:
        """Ask it to end."""
        self._due_s = None
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End it, and wait for its end."""
        self.terminate()
        self.reap(0.0)

    def reap(self, grace_s: float) -> None:
        """Wait for its end, and enforce it after `grace_s`."""
        if self._process is None:
            return
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = self._known = None

    def _start_again(self, now: float) -> None:
        try:
            self.start()
        except OSError as error:
            # No memory, no disk: what else runs must go on.
            self._due_s = now + PAUSES_S[-1]
            self.say(f"{self.name} cannot be started: {error.strerror}")

    def _died(self, code: int, now: float) -> None:
        self._process, self._known, self.exit_code = None, None, code
        if code == TakenOver.exit_code:
            self.taken_over = True
            self.say(f"{self.name} was taken over by a newer copy; it stays stopped.")
            return
        pause_s = self._back_off.pause_s(now - self._started_s)
        self._due_s = now + pause_s
        self.say(f"{self.name} ended with {code}; it starts again in {pause_s:g} s.")


def bound(log: Path) -> None:
    """Keep a log that is too long as the one before, and empty it."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        # Copied, not renamed: whoever writes goes on at the end of the same file.
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        with log.open("r+b") as file:
            file.truncate()
