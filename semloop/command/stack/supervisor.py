"""The one process above the embedded broker and the flows that `semloop up` started."""

import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from semloop.command.stack import broker
from semloop.command.stack.broker import make_topic
from semloop.command.stack.child import Child, bound
from semloop.command.stack.scheduled_command import ScheduledCommand
from semloop.command.stack.state import LocalFolder, Process, Stack
from semloop.errors import BrokerError, SemLoopError
from semloop.flow_registry import FLOWS, SCHEDULED, STREAMING
from semloop.kafka.clients import address, client_config, listens
from semloop.settings import PREFIX, Settings
from semloop.storage.location import Storage

# A flow between two commits ends within one; what hangs longer is killed.
STOP_FLOW_S = 10.0
BROKER_ANSWERS_S = 30.0
LOOK_S = 0.1
BOUND_LOGS_S = 5.0
# Another supervisor holds the lock.
LOCKED_CODE = 5
BROKER_PORT_TRIES = 3


class Locked(SemLoopError):
    """Another supervisor runs for this lake."""

    exit_code = LOCKED_CODE


class Supervisor:
    """Starts everything, keeps it running until SIGTERM, then stops everything."""

    def __init__(
        self, settings: Settings, *, broker_only: bool, private: bool = False
    ) -> None:
        """Nothing is started yet; `run` does.

        Args:
            settings: the lake, and the broker if it is not the embedded one.
            broker_only: no flows.
            private: the embedded broker keeps away from the usual port.
        """
        self._settings = settings
        self._private = private
        self._names = () if broker_only else tuple(STREAMING)
        self._folder = LocalFolder(Storage.of(settings).local_folder())
        self._me = Process.of(os.getpid())
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._broker: Child | None = None
        self._flows: list[Child] = []
        self._scheduled: list[ScheduledCommand] = []
        self._kafka = ""
        self._ready = False
        self._stopping = False

    def run(self) -> None:
        """Do it all.

        Raises:
            Locked: another supervisor runs for this lake.
            SemLoopError: something could not be started; all else was stopped.
        """
        with self._folder.lock() as locked:
            if not locked:
                msg = "SemLoop runs for this lake already."
                raise Locked(msg, "Ask `semloop status`, or stop it: `semloop down`.")
            signal.signal(signal.SIGTERM, self._asked_to_stop)
            signal.signal(signal.SIGINT, self._asked_to_stop)
            try:
                self._start()
                self._watch()
            finally:
                self._stop()

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self) -> None:
        for process in self._folder.leftovers():
            process.stop(STOP_FLOW_S)
        if self._settings.kafka is None:
            self._start_broker()
        else:
            self._kafka = address(self._settings)
            self._write()
        self._make_topic()
        for place, name in enumerate(self._names):
            environ = self._environ(place)
            flow = Child(name, _flow_command(name), self._log(name), environ, _say)
            flow.start()
            self._flows.append(flow)
        if self._names:
            self._scheduled = [
                ScheduledCommand(
                    semloop_command(*flow.command),
                    self._log(name),
                    self._environ(0),
                    self._settings.value(flow.every),
                )
                for name, flow in SCHEDULED.items()
            ]
        self._ready = True
        self._write()
        _say(f"started: Kafka at {self._kafka}, flows {', '.join(self._names) or '-'}")

    def _start_broker(self) -> None:
        for _ in range(BROKER_PORT_TRIES):
            self._kafka = broker.free_address(private=self._private)
            self._broker = Child(
                "broker",
                broker.command(self._kafka),
                self._log("broker"),
                broker.environment(),
                _say,
            )
            self._broker.start()
            self._write()
            if self._broker_listens():
                return
            # Somebody else took the port in between.
            self._broker.kill()
        msg = "The embedded broker does not start."
        raise BrokerError(msg, f"Its last words are in {self._log('broker')}.")

    def _broker_listens(self) -> bool:
        """Wait until the broker listens; False if it ended instead."""
        deadline = time.monotonic() + BROKER_ANSWERS_S
        while not self._stopping and time.monotonic() < deadline:
            if self._broker is None or self._broker.look():
                return False
            if listens(self._kafka):
                return True
            time.sleep(0.02)
        return False

    def _make_topic(self) -> None:
        settings = self._settings.replace(kafka=self._kafka)
        make_topic(settings, BROKER_ANSWERS_S, lambda: self._stopping)

    def _watch(self) -> None:
        bounded_s = time.monotonic()
        while not self._stopping:
            time.sleep(LOOK_S)
            changed = [flow for flow in self._flows if flow.look()]
            for command in self._scheduled:
                if problem := command.look():
                    _say(problem)
            if self._broker is not None and self._broker.look():
                changed.append(self._broker)
                if self._broker.known:
                    self._broker_is_new()
            if changed:
                self._write()
            if time.monotonic() - bounded_s > BOUND_LOGS_S:
                bounded_s = time.monotonic()
                self._bound_logs()

    def _broker_is_new(self) -> None:
        self._write()
        _say(
            "The broker died and was started again, empty: events that were not in "
            "the lake yet are lost; import or produce them again."
        )
        try:
            if self._broker_listens():
                self._make_topic()
        except SemLoopError as error:
            _say(error.what)

    def _bound_logs(self) -> None:
        for name in ("supervisor", "broker", *self._names, *SCHEDULED):
            try:
                bound(self._log(name))
            except OSError as error:
                _say(f"{self._log(name)}: {error.strerror}")

    def _stop(self) -> None:
        for command in self._scheduled:
            command.stop()
        for flow in self._flows:
            flow.terminate()
        deadline = time.monotonic() + STOP_FLOW_S
        for flow in self._flows:
            flow.reap(max(0.0, deadline - time.monotonic()))
        if self._broker is not None:
            # In memory only: there is nothing that it could save, and asked politely
            # it waits for its clients.
            self._broker.kill()
        self._folder.forget()
        _say("stopped")

    def _write(self) -> None:
        known = self._broker.known if self._broker else None
        stack = Stack(
            pid=self._me.pid,
            create_time=self._me.create_time,
            started_at=self._started_at,
            kafka=self._kafka,
            topic=self._settings.topic,
            embedded=self._broker is not None,
            broker_pid=known.pid if known else None,
            broker_create_time=known.create_time if known else None,
            ready=self._ready,
            flows={flow.name: flow.state() for flow in self._flows},
        )
        try:
            self._folder.write(stack)
        except OSError as error:
            # The stack goes on: the next change is written again.
            _say(f"stack.json cannot be written: {error.strerror}")

    def _environ(self, place: int) -> dict[str, str]:
        """A flow sees the same lake, broker and topic wherever it looks.

        Each serves its metrics on a port of its own, one after the other.
        """
        port = self._settings.metrics.port
        return {
            **os.environ,
            f"{PREFIX}METRICS_PORT": str(port + place if port else 0),
            f"{PREFIX}LAKE": self._settings.lake,
            f"{PREFIX}KAFKA": self._kafka,
            f"{PREFIX}TOPIC": self._settings.topic,
        }

    def _log(self, name: str) -> Path:
        return self._folder.log(name)


def semloop_command(*arguments: str) -> list[str]:
    """This program, started so that the caller's folder is not on its path."""
    return [sys.executable, "-P", "-m", "semloop", *arguments]


def check_startable(settings: Settings) -> None:
    """Find out what can be found out before anything is started.

    Raises:
        MissingExtra: the broker or another package is not installed.
        ConfigError: a setting makes no sense here.
    """
    Process.of(os.getpid())
    client_config(settings)
    if settings.kafka is None:
        broker.command(broker.free_address())


def _flow_command(name: str) -> list[str]:
    return semloop_command(*FLOWS[name].command, "--supervised")


def _say(line: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(f"{now} {line}", file=sys.stderr, flush=True)
