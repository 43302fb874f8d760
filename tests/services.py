"""Brokers for tests: started by the run, stopped by pid, never found by chance.

A stranger's run uses the embedded broker. With `SEMLOOP_TEST_SERVICES`, a folder with
`kafka/start PORT DIR [EXTRA.properties]`, it is a real Apache Kafka.
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

from semloop.command.stack.broker import command, environment

SERVICES = os.environ.get("SEMLOOP_TEST_SERVICES")

# A random cluster id that begins with a dash is taken for an option: one in 64.
STARTS_MAX = 3


class Broker(Protocol):
    """A broker of one run, or of one test that wants to hurt it."""

    kind: str
    address: str
    pid: int


def free_port(count: int = 1) -> int:
    """A port with `count` - 1 free ones behind it.

    Below those that the system gives to outgoing connections: one of these could take
    it before a server does, or while a killed server is away.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        if all(_free(port + i) for i in range(count)):
            return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def wait_for(what: str, condition: Callable[[], object], seconds: float = 60) -> None:
    """Ask until it is so; the time is only a bound for what hangs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)


class EmbeddedBroker:
    """The broker that `semloop up` brings along; forgets everything when it ends."""

    kind = "embedded"

    def __init__(self, folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        with (folder / "broker.log").open("wb") as log:
            self.process = subprocess.Popen(
                command(self.address), env=environment(), stdout=log, stderr=log
            )
        self.pid = self.process.pid
        wait_for("embedded broker", lambda: answers(self.address))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class RealBroker:
    """A real Apache Kafka from the services folder; keeps its data across `kill`."""

    kind = "kafka"

    def __init__(self, folder: Path, services: str, properties: str = "") -> None:
        """`properties`: lines for its configuration; `{port}`, `{controller}` known."""
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
        """Start it, at first or again after `kill`, on the same port and data."""
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
            )
            if started.returncode == 0:
                break
        # Asked for and not there is a failure, never a reason to test less.
        assert started.returncode == 0, started.stderr
        self.pid = int(started.stdout)

    def kill(self) -> None:
        kill(self.pid)
        wait_for("its end", lambda: not runs(self.pid))


def start_broker(folder: Path) -> EmbeddedBroker | RealBroker:
    """The broker that this run was asked to test with."""
    return RealBroker(folder, SERVICES) if SERVICES else EmbeddedBroker(folder)


def runs(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def kill(pid: int) -> None:
    """End a process at once, as a power cut would."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def answers(address: str) -> bool:
    """Whether a broker answers there."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    try:
        admin.list_topics(timeout=1)
    except KafkaException:
        return False
    return True
