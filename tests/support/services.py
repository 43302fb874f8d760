"""Brokers for tests: started by the session and stopped by pid.

By default tests use the embedded broker. With `SEMLOOP_TEST_SERVICES`, a folder with
`kafka/start PORT DIR [EXTRA.properties]`, they use Apache Kafka.
"""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from semloop.command.stack.broker import command
from semloop.kafka.clients import DEFAULT_ADDRESS
from tests.support.processes import ROOT

SERVICES = os.environ.get("SEMLOOP_TEST_SERVICES")

# Retries: one random cluster id in 64 begins with a dash, and is parsed as an option.
STARTS_MAX = 3
# For brokers that run for minutes and are never restarted: fewer heartbeats, and no
# empty records in the log of the metadata, which would use almost a second of CPU a minute.
IDLE = """
broker.heartbeat.interval.ms=3000
broker.session.timeout.ms=18000
metadata.max.idle.interval.ms=0
"""
UNVERIFIED = "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
POLL_S, POLL_MAX_S = 0.05, 1.0
USUAL_PORT = int(DEFAULT_ADDRESS.rpartition(":")[2])


class Broker(Protocol):
    """A broker of one session, or of one test that kills it."""

    kind: str
    address: str
    pid: int


def free_port(count: int = 1) -> int:
    """Return a free port that is followed by `count` - 1 free ones.

    It is not the port of a local stack, which other tests start. It is below the
    ephemeral ports: an outgoing connection could take one of those before a server
    binds it, or while a killed server is down.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        ports = range(port, port + count)
        if USUAL_PORT not in ports and all(map(_free, ports)):
            return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def wait_for(what: str, condition: Callable[[], object], seconds: float = 60) -> None:
    """Poll a condition until it is true; the time limit only catches hangs."""
    deadline = time.monotonic() + seconds
    asked_s = time.monotonic()
    while not condition():
        now_s = time.monotonic()
        assert now_s < deadline, f"{what}: timed out after {seconds:g} s"
        # A condition that opens a lake would use a core that its processes need.
        time.sleep(min(max(POLL_S, 4 * (now_s - asked_s)), POLL_MAX_S))
        asked_s = time.monotonic()


class EmbeddedBroker:
    """The broker of `semloop up`; it keeps its data across `kill`."""

    kind = "embedded"

    def __init__(self, folder: Path, address: str = "", mb_max: int = 1024) -> None:
        self.address = address or f"127.0.0.1:{free_port()}"
        folder.mkdir(exist_ok=True)
        arguments = command(self.address, folder / "broker", mb_max)
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                arguments, env=environ, stdout=log, stderr=log
            )
        self.pid = self.process.pid
        wait_for("embedded broker", lambda: answers(self.address))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class RealBroker:
    """Apache Kafka from the services folder; it keeps its data across `kill`."""

    kind = "kafka"

    def __init__(self, folder: Path, services: str, properties: str = "") -> None:
        """Start the broker.

        Args:
            folder: for its data.
            services: the services folder.
            properties: configuration lines; `{port}` and `{controller}` are replaced.
        """
        self._start = Path(services, "kafka", "start")
        self._folder = folder / "kafka"
        self._extra = folder / "extra.properties"
        self._port = free_port(2)  # the controller listens on the next one
        ports = {"port": self._port, "controller": self._port + 1}
        self._extra.write_text(properties.format(**ports))
        self.address = f"127.0.0.1:{self._port}"
        self.pid = 0
        self.start()

    def start(self) -> None:
        """Start the broker, also after `kill`, on the same port and data."""
        for _ in range(STARTS_MAX):
            started = subprocess.run(
                [
                    str(self._start),
                    str(self._port),
                    str(self._folder),
                    str(self._extra),
                ],
                capture_output=True,
                text=True,
                # A broker of a test lives for seconds: Java's optimizing compiler
                # would use more time than it saves, and verifying the bytecode of
                # a release takes a sixth of the time of a start.
                env={**os.environ, "KAFKA_JIT": "1", "JAVA_TOOL_OPTIONS": UNVERIFIED},
            )
            if started.returncode == 0:
                break
        # A requested server that does not start fails the test; it is never skipped.
        assert started.returncode == 0, started.stderr
        self.pid = int(started.stdout)

    def kill(self) -> None:
        kill(self.pid)
        wait_for("exit of the broker", lambda: not runs(self.pid))


def start_broker(folder: Path) -> EmbeddedBroker | RealBroker:
    """Start the broker that this test run is configured to use."""
    return RealBroker(folder, SERVICES, IDLE) if SERVICES else EmbeddedBroker(folder)


def runs(pid: int) -> bool:
    """Return True if a process runs and is not a zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def kill(pid: int) -> None:
    """Send SIGKILL to a process; ignore it if it no longer exists."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def answers(address: str) -> bool:
    """Return True if a broker answers at an address."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    try:
        admin.list_topics(timeout=1)
    except KafkaException:
        return False
    return True
