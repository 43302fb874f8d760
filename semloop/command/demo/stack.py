"""Broker and flow of the demo: as `semloop up` runs them, while the demo does."""

import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from semloop.command.demo.signals import Signals
from semloop.command.stack.start import failed, ready
from semloop.command.stack.state import LocalFolder
from semloop.command.stack.supervisor import STOP_FLOW_S, semloop_command
from semloop.command.terminal.progress import wait_until
from semloop.errors import BrokerError
from semloop.settings import PREFIX, Settings
from semloop.storage.location import Storage

# For what a killed supervisor left running: there is nothing to save.
STOP_S = 1.0
SUPERVISOR, BROKER = "supervisor", "broker"


class DemoStack:
    """A supervisor that ends with this process, and takes broker and flow along.

    However this process dies, its end of the supervisor's standard input closes.
    """

    def __init__(self, settings: Settings, signals: Signals) -> None:
        """Nothing is started yet; `start` does, inside of `with`."""
        self._lake = settings
        self._signals = signals
        self.storage = Storage.of(settings)
        """Its lake."""
        self._folder = LocalFolder(self.storage.local_folder())
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._broker_pid: int | None = None
        self.settings = settings
        """With the broker's address, once it runs."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with self._signals.held():
                self._stop()
        except SystemExit:
            # A signal may come before it is held, but no second one is heeded.
            self._stop()
            raise

    def start(self) -> None:
        """Start everything.

        Raises:
            Terminal: something ended at its start.
        """
        # A process that is not known yet could not be waited for.
        with self._signals.held():
            self._supervisor = self._spawn()
        stack = ready(self._supervisor, self._folder, 0)
        self._broker_pid = stack.broker_pid
        self.settings = self._lake.replace(kafka=stack.kafka)

    def check(self) -> None:
        """Make sure that everything runs.

        Raises:
            Terminal: something died, in its own last words.
            SystemExit: a signal came.
        """
        self._signals.check()
        stack = self._folder.read()
        assert self._supervisor is not None
        if stack is None or self._supervisor.poll() is not None:
            what = "The process above broker and flow died"
            raise self._died(SUPERVISOR, what)
        if stack.broker_pid != self._broker_pid:
            # The supervisor starts another one, but what this one held is lost.
            what = "The broker died"
            raise self._died(BROKER, what)
        for name, flow in stack.flows.items():
            if flow.exit_code is not None:
                what = f"The flow {name} ended with {flow.exit_code}"
                raise self._died(name, what)

    def log(self, name: str) -> Path:
        """Log of the broker or a flow."""
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
                # Neither variables nor a semloop.toml of yours are for the demo.
                cwd=self._lake.lake,
                # Ctrl-C and a closed terminal are for this process, which ends all.
                start_new_session=True,
            )

    def _environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        if self._lake.debug:
            kept[f"{PREFIX}DEBUG"] = "true"
        return kept | {f"{PREFIX}LAKE": self._lake.lake}

    def _stop(self) -> None:
        if self._supervisor is None:
            return
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.close()
        # Not `Popen.wait`: an exit that a signal raised within `poll` leaves the lock
        # taken that both need, and then it would wait for ever.
        pid = self._supervisor.pid
        if not wait_until(lambda: _has_ended(pid), STOP_FLOW_S * 2):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: _has_ended(pid), STOP_S)
        self._supervisor.poll()
        # A supervisor that was killed left them running.
        for process in self._folder.orphans():
            process.stop(STOP_S)


def _has_ended(pid: int) -> bool:
    """Whether a child has ended; it is not reaped, so that nobody else has its pid."""
    try:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, pid, options) is not None
    except ChildProcessError:
        return True
