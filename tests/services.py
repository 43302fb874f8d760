"""Brokers for tests: started by the run, stopped by pid, never found by chance.

A stranger's run uses the embedded broker. With `SEMLOOP_TEST_SERVICES`, a folder with
`kafka/start PORT DIR` and `kafka/stop DIR`, it is a real Apache Kafka.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from semloop.local.broker import command, environment

SERVICES = os.environ.get("SEMLOOP_TEST_SERVICES")


class Broker(Protocol):
    """A broker of one run, or of one test that wants to hurt it."""

    kind: str
    address: str

    def stop(self) -> None: ...


def free_port(count: int = 1) -> int:
    """A port with `count` - 1 free ones behind it."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
        if all(_free(port + i) for i in range(1, count)):
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
            self._process = subprocess.Popen(
                command(self.address), env=environment(), stdout=log, stderr=log
            )
        wait_for("embedded broker", lambda: answers(self.address))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class RealBroker:
    """A real Apache Kafka from the services folder."""

    kind = "kafka"

    def __init__(self, folder: Path, services: str) -> None:
        self._stop = Path(services, "kafka", "stop")
        self._folder = folder / "kafka"
        port = free_port(2)  # the controller listens on the next one
        self.address = f"127.0.0.1:{port}"
        start = Path(services, "kafka", "start")
        started = subprocess.run(
            [str(start), str(port), str(self._folder)], capture_output=True, text=True
        )
        # Asked for and not there is a failure, never a reason to test less.
        assert started.returncode == 0, started.stderr
        self.pid = int(started.stdout)

    def stop(self) -> None:
        subprocess.run([str(self._stop), str(self._folder)], check=True)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def start_broker(folder: Path) -> Broker:
    """The broker that this run was asked to test with."""
    return RealBroker(folder, SERVICES) if SERVICES else EmbeddedBroker(folder)


def answers(address: str) -> bool:
    """Whether a broker answers there."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    try:
        admin.list_topics(timeout=1)
    except KafkaException:
        return False
    return True
