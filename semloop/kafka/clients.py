"""Kafka client configuration derived from the settings."""

from typing import Any

from semloop.errors import BrokerUnavailable, ConfigError
from semloop.kafka.security import security_config
from semloop.local.stack_file import broker_address
from semloop.settings import Settings
from semloop.settings.logins import refuse_logins

DEFAULT_ADDRESS = "127.0.0.1:19092"
# Record, key, headers and framing of a 4 MiB event.
MESSAGE_BYTES_MAX = 5 * 2**20
# A record that the broker has not acknowledged after this time has failed. Episodes
# rely on it: no record arrives later than `delivery_max_s` after its Kafka timestamp.
DELIVERY_TIMEOUT_S = 60.0


def address(settings: Settings) -> str:
    """Return the setting, else the address of the local stack, else the default.

    Raises:
        ConfigError: the setting is not `host:port[,host:port]`.
    """
    if settings.kafka is None:
        return broker_address(settings) or DEFAULT_ADDRESS
    refuse_logins(settings)  # for settings that `load` did not check
    for server in settings.kafka.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            msg = f"Setting 'kafka': {server.strip()!r} is not host:port."
            raise ConfigError(msg, "Set SEMLOOP_KAFKA to host:port[,host:port].")
    return settings.kafka


def client_config(settings: Settings) -> dict[str, Any]:
    """Return the configuration for librdkafka that all clients share.

    It contains passwords in clear text: pass it to librdkafka only, never log it.

    Raises:
        ConfigError: settings contradict each other, or a file cannot be read.
        BrokerUnavailable: no broker is set, and no stack runs for the lake.
    """
    security = security_config(settings)
    if not has_broker(settings):
        msg = f"No broker is set, and no stack runs for the lake {settings.lake}."
        todo = "Start one with `semloop up`, or set SEMLOOP_KAFKA to your broker."
        raise BrokerUnavailable(msg, todo)
    return {
        "bootstrap.servers": address(settings),
        # Reconnect to a restarted broker within seconds.
        "reconnect.backoff.max.ms": 2000,
        "socket.keepalive.enable": True,
        # Only critical messages of librdkafka: our own error texts report the rest.
        "log_level": 2,
    } | security


def producer_config(settings: Settings) -> dict[str, Any]:
    """Return a configuration that never loses, duplicates or reorders events."""
    return client_config(settings) | {
        "enable.idempotence": True,
        # The Java default: librdkafka's own maps most keys to other partitions.
        "partitioner": "murmur2_random",
        "linger.ms": 20,
        "message.timeout.ms": int(DELIVERY_TIMEOUT_S * 1000),
        "compression.type": "lz4",
        "message.max.bytes": MESSAGE_BYTES_MAX,
    }


def has_broker(settings: Settings) -> bool:
    """Return False if no broker is set, and no stack runs for the lake in a folder.

    A server that listens where its stack would may be that of another lake, for
    example of the one from which this lake was copied.
    """
    return bool(settings.kafka or settings.on_s3 or broker_address(settings))


def listens(address: str, timeout_s: float = 1.0) -> bool:
    """Return True if one of the addresses accepts TCP connections."""
    import socket

    for server in address.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
        except OSError:
            continue
        return True
    return False
