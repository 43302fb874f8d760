"""The embedded Kafka-protocol broker: on 127.0.0.1 only, with its log in the lake."""

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from semloop.errors import BrokerUnavailable
from semloop.flow_registry import ARCHIVE
from semloop.kafka.clients import DEFAULT_ADDRESS
from semloop.settings import Settings

HOST = "127.0.0.1"
RETRY_S = 0.1
# Folder of the broker's log, in that of the stack.
LOG_FOLDER = "broker"


def command(address: str, folder: Path, mb_max: int) -> list[str]:
    """Return the command that runs a broker.

    Args:
        address: where it listens.
        folder: of its log.
        mb_max: size of its log, at most.
    """
    return [
        # -P keeps the working directory off sys.path.
        *(sys.executable, "-P", "-m", "semloop.broker"),
        f"--listen={address}",
        f"--folder={folder}",
        f"--mb-max={mb_max}",
        f"--group={ARCHIVE.group}",
    ]


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
