"""Broker and flows of the demo, run as by `semloop up` for the time of the demo."""

import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from semloop.command.demo.signals import Signals
from semloop.command.stack.start import failed, ready, supervisor_mark
from semloop.command.stack.state import BROKER, SUPERVISOR, LocalFolder
from semloop.command.stack.supervisor import STOP_STACK_S, semloop_command
from semloop.command.terminal.progress import wait_until
from semloop.errors import BrokerError
from semloop.settings import PREFIX, Settings
from semloop.storage.location import Storage

# For processes that a killed supervisor left running: they have nothing to save.
STOP_S = 1.0


class DemoStack:
    """A supervisor that ends with this process and stops the broker and the flows.

    It ends when its standard input closes, which happens however this process dies.
    """

    def __init__(self, settings: Settings, signals: Signals) -> None:
        """Start nothing yet; call `start` inside a `with` block."""
        self._initial_settings = settings
        self._signals = signals
        self.storage = Storage.of(settings)
        """The lake."""
        self._folder = LocalFolder(self.storage.local_folder())
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._broker_pid: int | None = None
        self.settings = settings
        """Settings; with the broker's address after `start`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with self._signals.deferred():
                self._stop()
        except SystemExit:
            # The signal arrived before it was deferred; further ones are ignored.
            self._stop()
            raise

    def start(self) -> None:
        """Start the supervisor, which starts the broker and the flows.

        Raises:
            Terminal: a process ended at its start.
        """
        # A signal before the assignment would leave the process without a reference.
        with self._signals.deferred():
            self._supervisor = self._spawn()
        stack = ready(self._supervisor, self._folder, 0)
        self._broker_pid = stack.broker_pid
        self.settings = self._initial_settings.replace(kafka=stack.kafka)

    def check(self) -> None:
        """Check that all processes run.

        Raises:
            Terminal: a process died; with the last lines of its log.
            SystemExit: a signal was received.
        """
        self._signals.check()
        stack = self._folder.read()
        assert self._supervisor is not None
        if stack is None or self._supervisor.poll() is not None:
            what = "The supervisor died"
            raise self._died(SUPERVISOR, what)
        if stack.broker_pid != self._broker_pid:
            # The supervisor restarts the broker; the demo shows a run without faults.
            what = "The broker died"
            raise self._died(BROKER, what)
        for name, flow in stack.flows.items():
            if flow.exit_code is not None:
                what = f"The flow {name} ended with exit code {flow.exit_code}"
                raise self._died(name, what)

    def log(self, name: str) -> Path:
        """Return the log file of the broker or a flow."""
        return self._folder.log(name)

    def _died(self, name: str, what: str) -> Exception:
        log = self._folder.log(name)
        return failed(log, 0, what) if log.exists() else BrokerError(f"{what}.")

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with self._folder.log(SUPERVISOR).open("wb") as log:
            return subprocess.Popen(
                semloop_command("_supervise", "--private"),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environ(),
                # The demo uses neither the user's variables nor their semloop.toml.
                cwd=self._initial_settings.lake,
                # Only this process handles Ctrl-C and a closed terminal.
                start_new_session=True,
            )

    def _environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        if self._initial_settings.debug:
            kept[f"{PREFIX}DEBUG"] = "true"
        kept |= supervisor_mark(self._folder)
        return kept | {f"{PREFIX}LAKE": self._initial_settings.lake}

    def _stop(self) -> None:
        if self._supervisor is None:
            return
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.close()
        # Not `Popen.wait`: if a signal raised an exit within `poll`, the lock that both
        # need is never released, and `wait` would block indefinitely.
        pid = self._supervisor.pid
        if not wait_until(lambda: _has_ended(pid), STOP_STACK_S):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: _has_ended(pid), STOP_S)
        self._supervisor.poll()
        # A killed supervisor leaves its processes running.
        for process in self._folder.orphans():
            process.stop(STOP_S)


def _has_ended(pid: int) -> bool:
    """Return True if a child has ended; it is not reaped, so its pid stays reserved."""
    try:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, pid, options) is not None
    except ChildProcessError:
        return True
