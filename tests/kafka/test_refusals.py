"""Which librdkafka errors are refusals; also tested with a real broker elsewhere."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from semloop.errors import BrokerError, BrokerUnavailable
from semloop.kafka.probe import (
    RESPONSE,
    certificate_fault,
    listener_protocol,
    mismatch,
    parsed,
)
from semloop.kafka.refusals import ConnectionErrors, public
from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings
from tests.support.services import EmbeddedBroker

CONFIG = {
    "bootstrap.servers": "broker.example:9093",
    "security.protocol": "sasl_ssl",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "ann",
    "group.id": "readers",
    "sasl.password": "tr0ub4dor&3",
    "ssl.key.password": "tr0ub4dor&3",
}
AT = "sasl_ssl://one.example:9093/1: "
TRANSIENT = {
    "a broker that stopped during the login": (
        KafkaError._AUTHENTICATION,
        "SASL SCRAM-SHA-512 mechanism handshake failed: Local: Broker transport "
        "failure: broker's supported mechanisms: (n/a) (after 0ms in state DOWN)",
    ),
    "a connection lost during the login": (
        KafkaError._AUTHENTICATION,
        "SASL authentication error: Disconnected (after 1ms in state AUTH_REQ)",
    ),
    "a login that timed out": (
        KafkaError._AUTHENTICATION,
        "SASL authentication error: Local: Timed out (after 1ms in state AUTH_REQ)",
    ),
    "a closed port": (
        KafkaError._TRANSPORT,
        "Connect to ipv4#127.0.0.1:9093 failed: Connection refused (after 0ms)",
    ),
    "a TLS handshake that was interrupted": (
        KafkaError._SSL,
        "SSL handshake failed: SSL transport error: Connection reset by peer",
    ),
    "all brokers down": (KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"),
}
PERSISTENT = {
    "a login": (
        KafkaError._AUTHENTICATION,
        "SASL authentication error: Authentication failed (after 1ms in state AUTH_REQ)",
        "The broker one.example:9093 rejects the user 'ann': wrong user or password.",
    ),
    "a mechanism": (
        KafkaError._AUTHENTICATION,
        "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: "
        "broker's supported mechanisms: GSSAPI,OAUTHBEARER (after 1ms in state X)",
        "The broker one.example:9093 does not support PLAIN, only GSSAPI, OAUTHBEARER.",
    ),
    "a certificate": (
        KafkaError._TRANSPORT,
        "Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate "
        "required: SSL alert number 116 (after 0ms in state APIVERSION_QUERY)",
        "The broker one.example:9093 requires a client certificate, but none is set.",
    ),
    "a TLS version": (
        KafkaError._SSL,
        "SSL handshake failed: error:0A00042E:SSL routines::tlsv1 alert protocol "
        "version: SSL alert number 70 (after 0ms in state SSL_HANDSHAKE)",
        "The broker one.example:9093 aborts the TLS handshake (protocol version).",
    ),
    "a permission": (
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        "Broker: Group authorization failed",
        "The broker one.example:9093 denies the user 'ann' permission "
        "(GROUP_AUTHORIZATION_FAILED).",
    ),
}


@pytest.mark.parametrize(("code", "text"), TRANSIENT.values(), ids=TRANSIENT)
def test_a_transient_error_is_not_a_refusal(code: int, text: str) -> None:
    errors = ConnectionErrors(CONFIG)
    errors(KafkaError(code, AT + text))
    assert not errors.refused
    errors.raise_refusal()


@pytest.mark.parametrize(("code", "text", "what"), PERSISTENT.values(), ids=PERSISTENT)
def test_a_persistent_error_is_a_refusal_with_its_reason(
    code: int, text: str, what: str
) -> None:
    errors = ConnectionErrors(CONFIG)
    errors(KafkaError(KafkaError._TRANSPORT, AT + "Connect failed"))
    errors(KafkaError(code, AT + text))
    errors(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    assert errors.refused
    with pytest.raises(BrokerError) as error:
        errors.raise_refusal()
    assert error.value.what == what
    assert error.value.todo
    errors.clear()
    errors.raise_refusal()


def test_passwords_are_not_stored() -> None:
    assert "tr0ub4dor&3" not in str(public(CONFIG))
    assert "tr0ub4dor&3" not in str(vars(ConnectionErrors(CONFIG)))


@pytest.fixture
def closing_server() -> Iterator[str]:
    """A port that closes connections immediately, such as a proxy to a dead broker."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("security", [None, "ssl"], ids=["plaintext", "TLS"])
def test_a_server_that_closes_connections_is_unavailable(
    security: str | None,
    settings: Settings,
    closing_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("semloop.kafka.topic.ANSWER_S", 1.0)
    monkeypatch.setattr("semloop.kafka.topic.PROBE_AFTER_S", 0.1)
    changed = settings.replace(kafka=closing_server, kafka_security=security)
    with pytest.raises(BrokerUnavailable, match="No Kafka broker answers at"):
        TopicAdmin(changed).describe()


def test_a_probe_of_a_silent_server_returns_none(
    closing_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semloop.kafka.probe.TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = f"127.0.0.1:{server.getsockname()[1]}"
        assert (listener_protocol(silent), certificate_fault(silent, None)) == (
            None,
            None,
        )
    assert (listener_protocol(silent), certificate_fault(silent, None)) == (None, None)
    assert (
        listener_protocol(closing_server),
        certificate_fault(closing_server, None),
    ) == (None, None)


@pytest.mark.process
def test_the_embedded_broker_is_not_taken_for_one_with_logins(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path)
    try:
        found = listener_protocol(broker.address)
        assert found is not None
        assert (found.tls, found.login) == (False, False)
        plaintext = {
            "bootstrap.servers": broker.address,
            "security.protocol": "plaintext",
        }
        assert mismatch(plaintext) is None
    finally:
        broker.kill()


@given(st.binary(max_size=64))
def test_a_truncated_or_strange_response_names_no_login_by_mistake(tail: bytes) -> None:
    found = parsed(RESPONSE.pack(12, 1, 33) + tail, tls=False)
    assert found is not None
    # One mechanism of a letter needs its length, and a count before it.
    assert found.login is None or len(tail) > 6
