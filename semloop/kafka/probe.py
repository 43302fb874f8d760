"""Probes a broker outside librdkafka to find out which protocol it uses.

librdkafka cannot distinguish a listener of another protocol from a lost connection, nor
report what is wrong with a certificate. No secret is sent here, and the response is
used only for error texts.
"""

import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from semloop.errors import BrokerError

TIMEOUT_S = 2.0
# SaslHandshake v1 with an empty mechanism (correlation id 1, no client id): the only
# request that every Kafka listener answers before authentication.
REQUEST = struct.pack(">ihhihh", 12, 17, 1, 1, -1, 0)
# Size, correlation id, error code.
RESPONSE = struct.Struct(">iih")
# Start of a TLS alert record: the response of a TLS port to plaintext.
TLS_ALERT = b"\x15\x03"
# Kafka's ILLEGAL_SASL_STATE: the listener does not use SASL.
ILLEGAL_SASL_STATE = 34


@dataclass(frozen=True)
class ListenerProtocol:
    """Protocol of a listener; `login` may be None: not determined by the probe."""

    tls: bool
    login: bool | None

    @property
    def name(self) -> str:
        """The corresponding value of the setting `kafka_security`."""
        return ("sasl_" if self.login else "") + ("ssl" if self.tls else "plaintext")


def mismatch(config: Mapping[str, Any]) -> BrokerError | None:
    """Return an error if a broker uses another protocol than the settings, else None.

    Args:
        config: of the client; the first of its brokers that responds is compared.
    """
    configured: str = config["security.protocol"]
    for server in config["bootstrap.servers"].split(","):
        found = listener_protocol(server.strip())
        if found is None:
            continue
        same_tls = found.tls == configured.endswith("ssl")
        if same_tls and (not found.login or configured.startswith("sasl")):
            return None
        msg = (
            f"The broker {server.strip()} uses {found.name}, but the settings"
            f" select {configured}."
        )
        return BrokerError(msg, _todo(found, same_tls=same_tls))
    return None


def listener_protocol(server: str) -> ListenerProtocol | None:
    """Return a listener's protocol; None if it is not Kafka or does not respond."""
    try:
        with _connected(server) as connection:
            response = _requested(connection)
        if not response.startswith(TLS_ALERT):
            return parsed(response, tls=False)
    except OSError:
        return None
    try:
        with (
            _connected(server) as connection,
            _unverified_tls().wrap_socket(connection) as tls,
        ):
            response = _requested(tls)
    except OSError:
        response = b""  # The listener requires a client certificate.
    return parsed(response, tls=True) or ListenerProtocol(tls=True, login=None)


def certificate_fault(server: str, ca: str | None) -> tuple[int, str] | None:
    """Return OpenSSL's code and message for an invalid broker certificate, else None.

    Args:
        server: `host:port`; the certificate must be issued for this host.
        ca: PEM file of the CAs; None: the system's.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
        host = server.rpartition(":")[0].strip("[]")
        with _connected(server) as connection:
            context.wrap_socket(connection, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code, error.verify_message.rstrip(".")
    except OSError:
        return None
    return None


def _todo(found: ListenerProtocol, *, same_tls: bool) -> str:
    if found.login and same_tls:
        return "Set SEMLOOP_KAFKA_USER and SEMLOOP_KAFKA_PASSWORD."
    if not found.tls:
        return "Set SEMLOOP_KAFKA to the broker's TLS port, or unset the TLS settings."
    also = " with SEMLOOP_KAFKA_USER" if found.login else ""
    ca = "and SEMLOOP_KAFKA_CA if it uses a private CA"
    return f"Set SEMLOOP_KAFKA_SECURITY to {found.name}{also}, {ca}."


def _connected(server: str) -> socket.socket:
    host, _, port = server.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_S)


def _unverified_tls() -> ssl.SSLContext:
    """Accept any certificate: detecting TLS requires no trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _requested(connection: socket.socket) -> bytes:
    connection.sendall(REQUEST)
    return connection.recv(256)


def parsed(response: bytes, *, tls: bool) -> ListenerProtocol | None:
    """Return the protocol that a response shows; None if it is not Kafka's."""
    if len(response) < RESPONSE.size:
        return None
    _, correlation, error = RESPONSE.unpack_from(response)
    if correlation != 1:
        return None
    if error == ILLEGAL_SASL_STATE:
        return ListenerProtocol(tls=tls, login=False)
    # A listener with SASL names its mechanisms. Some brokers that accept connections
    # without a login repeat the empty mechanism of the request.
    return ListenerProtocol(tls=tls, login=any(_mechanisms(response)) or None)


def _mechanisms(response: bytes) -> Iterator[bytes]:
    """Yield the mechanisms of a response, as far as it is complete."""
    (count,) = struct.unpack_from(">i", response.ljust(14, b"\0"), RESPONSE.size)
    at = RESPONSE.size + 4
    for _ in range(count):
        (length,) = struct.unpack_from(">h", response.ljust(at + 2, b"\0"), at)
        yield response[at + 2 : at + 2 + length]
        at += 2 + max(length, 0)
        if at >= len(response):
            return
