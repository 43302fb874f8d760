"""Which Kafka a broker is, as far as its protocol tells.

Every broker answers ApiVersions (KIP-35), before anybody has logged in. Since version 3
the answer holds features (KIP-584), of which `metadata.version` names the release.
librdkafka asks the same and passes nothing of it on. Nothing secret is sent here, and
nothing of what is heard is trusted further than for a line of text.
"""

import bisect
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from semloop.kafka.probe import PATIENCE_S

API_VERSIONS, ASKED_VERSION = 18, 3
CLIENT = b"semloop"
ANSWER_BYTES_MAX = 2**16
SUPPORTED_FEATURES = 0
# Level of the feature `metadata.version` -> the release whose software first has it
# (org.apache.kafka.server.common.MetadataVersion).
RELEASES = {
    7: "3.3", 8: "3.4", 9: "3.5", 12: "3.6", 15: "3.7", 20: "3.8", 21: "3.9",
    22: "4.0", 26: "4.1", 28: "4.2", 30: "4.3",
}  # fmt: skip


@dataclass(frozen=True)
class Spoken:
    """What a broker can do: kinds of requests, and its features' highest levels."""

    requests: int
    features: Mapping[str, int]

    @property
    def release(self) -> str | None:
        """The release of Kafka, if a feature tells it."""
        level = self.features.get("metadata.version", 0)
        known = sorted(RELEASES)
        at = bisect.bisect_right(known, level)
        if not at:
            return None
        newer = " or newer" if level > known[-1] else ""
        return f"{RELEASES[known[at - 1]]}{newer}"


def spoken(server: str, config: Mapping[str, Any]) -> Spoken | None:
    """What a broker says about itself; None if it says nothing that is understood.

    Args:
        server: `host:port`.
        config: of librdkafka's clients.
    """
    host, _, port = server.rpartition(":")
    address = (host.strip("[]"), int(port))
    try:
        with socket.create_connection(address, PATIENCE_S) as plain:
            if not config["security.protocol"].endswith("ssl"):
                return _ask(plain)
            context = _tls(config)
            with context.wrap_socket(plain, server_hostname=address[0]) as inside:
                return _ask(inside)
    except (OSError, struct.error, ValueError):
        return None


def _tls(config: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.get("ssl.ca.location"))
    if certificate := config.get("ssl.certificate.location"):
        context.load_cert_chain(
            certificate, config["ssl.key.location"], config.get("ssl.key.password", "")
        )
    return context


def _ask(connection: socket.socket) -> Spoken | None:
    compact = bytes([len(CLIENT) + 1]) + CLIENT
    # Header: correlation id 1, no client id, no tags; body: name and version.
    question = struct.pack(">hhihB", API_VERSIONS, ASKED_VERSION, 1, -1, 0)
    question += compact + b"\x020" + b"\x00"
    connection.sendall(struct.pack(">i", len(question)) + question)
    (length,) = struct.unpack(">i", _read(connection, 4))
    if not 0 <= length <= ANSWER_BYTES_MAX:
        return None
    return understood(_read(connection, length))


def understood(answer: bytes) -> Spoken | None:
    """Read an answer to ApiVersions v3, without its length.

    Raises:
        ValueError: it ends too soon (or struct.error).
    """
    reader = _Reader(answer)
    correlation, error = reader.numbers(">ih")
    if (correlation, error) != (1, 0):
        return None
    requests = reader.count()
    for _ in range(requests):
        reader.numbers(">hhh")
        reader.tags()
    reader.numbers(">i")  # for how long we are throttled
    features: dict[str, int] = {}
    if tag := reader.tags().get(SUPPORTED_FEATURES):
        inside = _Reader(tag)
        for _ in range(inside.count()):
            name = inside.take(inside.count()).decode("utf-8")
            _, features[name] = inside.numbers(">hh")
            inside.tags()
    return Spoken(requests, features)


def _read(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            msg = "the connection ended"
            raise ValueError(msg)
        data += piece
    return data


class _Reader:
    """Kafka's compact encoding (KIP-482)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        piece = self._data[self._at : self._at + length]
        if len(piece) < length:
            msg = "the answer is cut off"
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
        """Of an array, or the length of a text; null counts as empty."""
        return max(0, self.varint() - 1)

    def tags(self) -> dict[int, bytes]:
        return {self.varint(): self.take(self.varint()) for _ in range(self.varint())}
