"""A look at a broker with which no conversation comes about: what does it speak?

librdkafka cannot tell a listener of another protocol from one that just went away, nor
say what is wrong with a certificate. Nothing secret is sent here, and nothing of what
is heard is trusted further than for an error text.
"""

import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from semloop.errors import BrokerError

PATIENCE_S = 2.0
# SaslHandshake v1 with an empty mechanism (correlation id 1, no client id): the one
# request that every listener of Kafka answers before anybody has logged in.
QUESTION = struct.pack(">ihhihh", 12, 17, 1, 1, -1, 0)
# Size, correlation id, error code.
ANSWER = struct.Struct(">iih")
# A record of TLS, type alert: how a TLS port answers what is no TLS.
TLS_ALERT = b"\x15\x03"
NOT_FOR_LOGIN = 34


@dataclass(frozen=True)
class Spoken:
    """What a listener speaks; `login` is None where it did not get that far."""

    tls: bool
    login: bool | None

    @property
    def protocol(self) -> str:
        """Its name as the setting `kafka_security` has it."""
        return ("sasl_" if self.login else "") + ("ssl" if self.tls else "plaintext")


def mismatch(config: Mapping[str, Any]) -> BrokerError | None:
    """The error if a broker speaks another protocol than ours; None if not, or mute.

    Args:
        config: of the client; the first of its brokers that says anything is asked.
    """
    protocol: str = config["security.protocol"]
    for server in config["bootstrap.servers"].split(","):
        found = spoken(server.strip())
        if found is None:
            continue
        same_tls = found.tls == protocol.endswith("ssl")
        if same_tls and (not found.login or protocol.startswith("sasl")):
            return None
        msg = (
            f"The broker {server.strip()} speaks {found.protocol}, but the settings"
            f" mean {protocol}."
        )
        return BrokerError(msg, _todo(found, same_tls=same_tls))
    return None


def spoken(server: str) -> Spoken | None:
    """What a listener speaks; None if it is no Kafka or says nothing."""
    try:
        with _connected(server) as plain:
            said = _ask(plain)
        if not said.startswith(TLS_ALERT):
            return _understood(said, tls=False)
    except OSError:
        return None
    try:
        with _connected(server) as plain, _any_tls().wrap_socket(plain) as inside:
            said = _ask(inside)
    except OSError:
        said = b""  # It wants our certificate first.
    return _understood(said, tls=True) or Spoken(tls=True, login=None)


def certificate_fault(server: str, ca: str | None) -> tuple[int, str] | None:
    """OpenSSL's code and words for what is wrong with a broker's certificate.

    Args:
        server: `host:port`, by which the certificate must name the broker.
        ca: PEM file of the CAs; None: the system's.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
        host = server.rpartition(":")[0].strip("[]")
        with _connected(server) as plain:
            context.wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code, error.verify_message.rstrip(".")
    except OSError:
        return None
    return None


def _todo(found: Spoken, *, same_tls: bool) -> str:
    if found.login and same_tls:
        return "Set SEMLOOP_KAFKA_USER and SEMLOOP_KAFKA_PASSWORD."
    if not found.tls:
        return "Name its port for TLS in SEMLOOP_KAFKA, or unset what asks for TLS."
    also = " with SEMLOOP_KAFKA_USER" if found.login else ""
    ca = "and SEMLOOP_KAFKA_CA if its CA is your own"
    return f"Set SEMLOOP_KAFKA_SECURITY to {found.protocol}{also}, {ca}."


def _connected(server: str) -> socket.socket:
    host, _, port = server.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), PATIENCE_S)


def _any_tls() -> ssl.SSLContext:
    """TLS with whoever is there: to find out that it is TLS, no trust is needed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _ask(connection: socket.socket) -> bytes:
    connection.sendall(QUESTION)
    return connection.recv(256)


def _understood(said: bytes, *, tls: bool) -> Spoken | None:
    if len(said) < ANSWER.size:
        return None
    _, correlation, error = ANSWER.unpack_from(said)
    return Spoken(tls=tls, login=error != NOT_FOR_LOGIN) if correlation == 1 else None
