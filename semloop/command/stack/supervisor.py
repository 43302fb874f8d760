"""The parent process of the embedded broker and the flows of `semloop up`."""

import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from semloop.command.stack import broker
from semloop.command.stack.child import Child, rotate_log
from semloop.command.stack.departure import leave
from semloop.command.stack.left_events import SPOOL, LeftEvents
from semloop.command.stack.presence import Presence
from semloop.command.stack.process import Process
from semloop.command.stack.scheduled_command import ScheduledCommand
from semloop.command.stack.state import BROKER, SUPERVISOR, LocalFolder, Stack
from semloop.command.stack.topic import BROKER_ANSWERS_S, StackTopic
from semloop.command.stack.usage import UsageLog
from semloop.command.terminal.printing import note
from semloop.errors import BrokerError, SemLoopError
from semloop.flow_registry import ARCHIVE, FLOWS, SCHEDULED, STREAMING
from semloop.kafka.clients import DEFAULT_ADDRESS, address, client_config
from semloop.progress.activity import files_of, note_stop
from semloop.settings import PREFIX, Settings
from semloop.storage.location import Storage

# A flow stops within one commit; a process that takes longer is killed. The broker only
# writes its state, and needs none of it after a kill.
STOP_FLOW_S, STOP_BROKER_S = 10.0, 5.0
# Time for all of a stack to stop. The margin is for a supervisor that waits for an
# answer of the broker or of a slow disk.
STOP_STACK_S = STOP_FLOW_S + STOP_BROKER_S + 10.0
POLL_S = 0.1
ROTATE_LOGS_S = 5.0
# Exit code if another supervisor has the lock.
LOCKED_CODE = 5
BROKER_PORT_TRIES = 3


class Locked(SemLoopError):
    """Raised if another supervisor runs for this lake."""

    exit_code = LOCKED_CODE


class Supervisor:
    """Starts broker and flows, keeps them running until SIGTERM, then stops them."""

    def __init__(
        self, settings: Settings, *, broker_only: bool, private: bool = False
    ) -> None:
        """Prepare the stack; `run` starts it.

        Args:
            settings: the lake, and the broker if it is not the embedded one.
            broker_only: start no flows.
            private: the embedded broker never uses the default port.
        """
        self._settings = settings
        self._private = private
        self._names = () if broker_only else tuple(STREAMING)
        self._folder = LocalFolder(Storage.of(settings).local_folder())
        self._me = Process.of(os.getpid())
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._presence = Presence(self._folder, _report)
        self._broker: Child | None = None
        self._flows: list[Child] = []
        self._scheduled: list[ScheduledCommand] = []
        self._usage = UsageLog(self._folder.path, settings.broker.mb_max)
        self._kafka = ""
        self._ready = self._stopping = False
        self._topic = StackTopic(settings, lambda: self._stopping, _report)

    def run(self) -> None:
        """Start the stack, supervise it until SIGTERM or SIGINT, and stop it.

        Raises:
            Locked: another supervisor runs for this lake.
            SemLoopError: the broker or the topic failed; all processes were stopped.
        """
        with self._presence.locked() as locked:
            if not locked:
                msg = "SemLoop is already running for this lake."
                raise Locked(msg, "Show it: `semloop status`. Stop it: `semloop down`.")
            signal.signal(signal.SIGTERM, self._request_stop)
            signal.signal(signal.SIGINT, self._request_stop)
            try:
                self._start()
                self._watch()
            finally:
                self._stop()

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self) -> None:
        for process in self._folder.orphans():
            process.stop(STOP_FLOW_S)
        if self._settings.kafka is None:
            self._start_broker()
        else:
            self._kafka = address(self._settings)
        self._topic.create(self._kafka)
        for index, name in enumerate(self._names):
            environ = self._environ(index, name)
            flow = Child(name, _flow_command(name), self._log(name), environ, _report)
            flow.start()
            self._flows.append(flow)
        if self._names:
            self._scheduled = [
                ScheduledCommand(
                    semloop_command(*flow.command, *flow.quiet),
                    self._log(name),
                    self._environ(0, name),
                    self._settings.value(flow.every),
                )
                for name, flow in SCHEDULED.items()
            ]
            send, log = semloop_command("spool", "send"), self._log(SPOOL)
            left = LeftEvents(self._settings, send, log, self._presence.lake.id)
            self._scheduled.append(left)
        self._ready = True
        self._write()
        _report(
            f"started: Kafka at {self._kafka}, flows {', '.join(self._names) or '-'}"
        )

    def _start_broker(self) -> None:
        for _ in range(BROKER_PORT_TRIES):
            self._kafka = broker.free_address(private=self._private)
            self._broker = Child(
                BROKER,
                broker.command(
                    self._kafka,
                    self._folder.path / broker.LOG_FOLDER,
                    self._settings.broker.mb_max,
                ),
                self._log(BROKER),
                {**os.environ, **self._marks(BROKER)},
                _report,
            )
            self._broker.start()
            self._write()
            if self._broker_listens():
                return
            # Another process may have taken the port in between.
            self._broker.kill()
        msg = "The embedded broker does not start."
        raise BrokerError(msg, f"See {self._log(BROKER)}.")

    def _broker_listens(self) -> bool:
        """Wait until the broker listens; return False if it ended or timed out."""
        deadline = time.monotonic() + BROKER_ANSWERS_S
        while not self._stopping and time.monotonic() < deadline:
            if self._broker is None or self._broker.poll():
                return False
            process = self._broker.identity
            if process and process.listens(self._kafka):
                return True
            time.sleep(0.02)
        return False

    def _watch(self) -> None:
        rotated_s = time.monotonic()
        while not self._stopping:
            time.sleep(POLL_S)
            if self._presence.has_left():
                self._leave()
                return
            self._presence.keep()
            changed = [flow for flow in self._flows if flow.poll()]
            for command in self._scheduled:
                if problem := command.poll():
                    _report(problem)
            if self._broker is not None and self._broker.poll():
                changed.append(self._broker)
                if self._broker.identity:
                    _report("The broker died and was restarted with its records.")
                    self._topic.ask_again()
            broker_process = self._broker.identity if self._broker else None
            if self._topic.poll(broker_process) or changed:
                self._write()
            self._usage.sample(broker_process)
            if time.monotonic() - rotated_s > ROTATE_LOGS_S:
                rotated_s = time.monotonic()
                _rotate_logs(
                    self._folder, (SUPERVISOR, BROKER, *self._names, *SCHEDULED)
                )

    def _leave(self) -> None:
        """Save the records of the broker, since the lake is no longer in its place."""
        for command in self._scheduled:
            command.stop()
        for flow in self._flows:
            flow.kill()
        rest = _archive_rest() if self._broker is not None and self._flows else None
        local, environ = self._presence.present_path(), self._environ(0, ARCHIVE.name)
        leave(local, rest, environ, lambda: self._stopping, _report)

    def _stop(self) -> None:
        for command in self._scheduled:
            command.stop()
        _stop_flows(self._settings, self._flows)
        if self._broker is not None:
            self._broker.terminate()
            self._broker.reap(STOP_BROKER_S)
        self._presence.clear()
        _report("stopped")

    def _write(self) -> None:
        broker_process = self._broker.identity if self._broker else None
        stack = Stack(
            pid=self._me.pid,
            create_time=self._me.create_time,
            started_at=self._started_at,
            kafka=self._kafka,
            topic=self._settings.topic,
            topic_id=self._topic.id,
            embedded=self._broker is not None,
            broker_pid=broker_process.pid if broker_process else None,
            broker_create_time=broker_process.create_time if broker_process else None,
            ready=self._ready,
            flows={flow.name: flow.state() for flow in self._flows},
            lake=self._presence.lake,
        )
        self._presence.write(stack)

    def _environ(self, index: int, name: str) -> dict[str, str]:
        metrics = _metrics_port(self._settings, index)
        return {**os.environ, **metrics, **self._marks(name)}

    def _marks(self, name: str) -> dict[str, str]:
        return self._presence.environ(name, self._kafka, self._settings)

    def _log(self, name: str) -> Path:
        return self._folder.log(name)


def semloop_command(*arguments: str) -> list[str]:
    """Return a `semloop` command line; -P keeps the working directory off sys.path."""
    return [sys.executable, "-P", "-m", "semloop", *arguments]


def check_startable(settings: Settings) -> None:
    """Check packages and settings before the stack is started.

    Raises:
        MissingExtra: the broker or another package is not installed.
        ConfigError: a Kafka setting is invalid.
    """
    Process.of(os.getpid())
    if settings.kafka is None:
        settings = settings.replace(kafka=DEFAULT_ADDRESS)
    client_config(settings)


def _archive_rest() -> list[str]:
    return semloop_command(*ARCHIVE.command, "--supervised", "--until-caught-up")


def _rotate_logs(folder: LocalFolder, names: Iterable[str]) -> None:
    for log in map(folder.log, names):
        try:
            rotate_log(log)
        except OSError as error:
            _report(f"{log}: {error.strerror}")


def _stop_flows(settings: Settings, flows: Sequence[Child]) -> None:
    for flow in flows:
        flow.terminate()
    deadline = time.monotonic() + STOP_FLOW_S
    for flow in flows:
        flow.reap(max(0.0, deadline - time.monotonic()))
        with suppress(SemLoopError, OSError):  # `health` then reports it as silent
            note_stop(Storage.of(settings), files_of(flow.name, settings.topic))


def _metrics_port(settings: Settings, index: int) -> dict[str, str]:
    """Return the port of a flow's metrics: that of flow 0, plus the flow's number."""
    first = settings.metrics.port
    return {f"{PREFIX}METRICS_PORT": str(first and first + index)}


def _flow_command(name: str) -> list[str]:
    return semloop_command(*FLOWS[name].command, "--supervised")


def _report(line: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    note(f"{now} {line}")
