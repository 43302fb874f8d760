"""Settings -> how every Kafka client of ours is configured."""

import socket
from typing import Any

from semloop.errors import ConfigError
from semloop.kafka.local_broker import broker_address
from semloop.kafka.security import security_config
from semloop.settings import Settings

DEFAULT_ADDRESS = "127.0.0.1:19092"
# Record, key, headers and framing of a 4 MiB event.
MESSAGE_BYTES_MAX = 5 * 2**20


def address(settings: Settings) -> str:
    """Brokers: the setting, else the running local stack of the lake, else the default.

    Raises:
        ConfigError: the setting is not `host:port[,host:port]`.
    """
    if settings.kafka is None:
        return broker_address(settings) or DEFAULT_ADDRESS
    for server in settings.kafka.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            msg = f"Setting 'kafka': {server.strip()!r} is not host:port."
            raise ConfigError(msg, "Set SEMLOOP_KAFKA to host:port[,host:port].")
    return settings.kafka


def client_config(settings: Settings) -> dict[str, Any]:
    """What producers, consumers and admin clients share, for librdkafka.

    It holds passwords in the clear: it is for librdkafka alone, never for a log.

    Raises:
        ConfigError: settings that contradict each other, or a file that cannot be read.
    """
    return {
        "bootstrap.servers": address(settings),
        # A broker that dies and comes back is met again within seconds.
        "reconnect.backoff.max.ms": 2000,
        "socket.keepalive.enable": True,
        # Our own words say what is wrong; of librdkafka's only the critical ones pass.
        "log_level": 2,
    } | security_config(settings)


def producer_config(settings: Settings) -> dict[str, Any]:
    """A producer that neither loses, doubles nor reorders a session's events."""
    return client_config(settings) | {
        "enable.idempotence": True,
        # Java's partitioner: librdkafka's own puts most keys elsewhere.
        "partitioner": "murmur2_random",
        "linger.ms": 20,
        "compression.type": "lz4",
        "message.max.bytes": MESSAGE_BYTES_MAX,
    }


def listens(address: str, timeout_s: float = 1.0) -> bool:
    """Whether anything accepts connections at one of the addresses."""
    for server in address.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
        except OSError:
            continue
        return True
    return False
