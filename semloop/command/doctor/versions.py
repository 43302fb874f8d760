"""Kafka release of a broker, derived from its ApiVersions response.

Every broker answers ApiVersions (KIP-35) before authentication. Since version 3 the
response contains features (KIP-584), of which `metadata.version` identifies the
release. librdkafka sends the same request but does not expose the response. No secret
is sent here, and the response is used only for a line of text.
"""

import bisect
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from semloop.kafka.probe import TIMEOUT_S

API_VERSIONS, REQUEST_VERSION = 18, 3
CLIENT = b"semloop"
RESPONSE_BYTES_MAX = 2**16
SUPPORTED_FEATURES = 0
# Level of the feature `metadata.version` -> the first release that supports it
# (org.apache.kafka.server.common.MetadataVersion).
RELEASES = {
    7: "3.3", 8: "3.4", 9: "3.5", 12: "3.6", 15: "3.7", 20: "3.8", 21: "3.9",
    22: "4.0", 26: "4.1", 28: "4.2", 30: "4.3",
}  # fmt: skip


@dataclass(frozen=True)
class BrokerVersion:
    """Number of APIs that a broker supports, and its highest feature levels."""

    apis: int
    features: Mapping[str, int]

    @property
    def release(self) -> str | None:
        """The Kafka release; None if no feature identifies it."""
        level = self.features.get("metadata.version", 0)
        levels = sorted(RELEASES)
        count = bisect.bisect_right(levels, level)
        if not count:
            return None
        newer = " or newer" if level > levels[-1] else ""
        return f"{RELEASES[levels[count - 1]]}{newer}"


def broker_version(server: str, config: Mapping[str, Any]) -> BrokerVersion | None:
    """Return what a broker reports; None without a valid response.

    Args:
        server: `host:port`.
        config: configuration for librdkafka.
    """
    host, _, port = server.rpartition(":")
    address = (host.strip("[]"), int(port))
    try:
        with socket.create_connection(address, TIMEOUT_S) as connection:
            if not config["security.protocol"].endswith("ssl"):
                return _requested(connection)
            context = _tls_context(config)
            with context.wrap_socket(connection, server_hostname=address[0]) as tls:
                return _requested(tls)
    except (OSError, struct.error, ValueError):
        return None


def _tls_context(config: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.get("ssl.ca.location"))
    if certificate := config.get("ssl.certificate.location"):
        context.load_cert_chain(
            certificate, config["ssl.key.location"], config.get("ssl.key.password", "")
        )
    return context


def _requested(connection: socket.socket) -> BrokerVersion | None:
    compact = bytes([len(CLIENT) + 1]) + CLIENT
    # Header: correlation id 1, no client id, no tags; body: name and version.
    request = struct.pack(">hhihB", API_VERSIONS, REQUEST_VERSION, 1, -1, 0)
    request += compact + b"\x020" + b"\x00"
    connection.sendall(struct.pack(">i", len(request)) + request)
    (length,) = struct.unpack(">i", _read(connection, 4))
    if not 0 <= length <= RESPONSE_BYTES_MAX:
        return None
    return parsed(_read(connection, length))


def parsed(response: bytes) -> BrokerVersion | None:
    """Parse an ApiVersions v3 response without its length; None if it is an error.

    Raises:
        ValueError: it is truncated. struct.error: likewise.
    """
    reader = _Reader(response)
    correlation, error = reader.numbers(">ih")
    if (correlation, error) != (1, 0):
        return None
    apis = reader.count()
    for _ in range(apis):
        reader.numbers(">hhh")
        reader.tags()
    reader.numbers(">i")  # throttle time
    features: dict[str, int] = {}
    if tag := reader.tags().get(SUPPORTED_FEATURES):
        fields = _Reader(tag)
        for _ in range(fields.count()):
            name = fields.take(fields.count()).decode("utf-8")
            _, features[name] = fields.numbers(">hh")
            fields.tags()
    return BrokerVersion(apis, features)


def _read(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            msg = "the connection was closed"
            raise ValueError(msg)
        data += piece
    return data


class _Reader:
    """Reader of Kafka's compact encoding (KIP-482)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        piece = self._data[self._at : self._at + length]
        if len(piece) < length:
            msg = "the response is truncated"
            raise ValueError(msg)
        self._at += length
        return piece

    def numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def varint(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def count(self) -> int:
        """Read the length of an array or string; null counts as empty."""
        return max(0, self.varint() - 1)

    def tags(self) -> dict[int, bytes]:
        return {self.varint(): self.take(self.varint()) for _ in range(self.varint())}
