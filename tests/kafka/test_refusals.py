"""Which words of librdkafka are a refusal; against real brokers they are tested too."""

import socket
import threading
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError

from semloop.errors import BrokerError, BrokerUnavailable
from semloop.kafka.probe import certificate_fault, spoken
from semloop.kafka.refusals import ConnectionErrors, public
from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings

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
PASSING = {
    "a broker that ended during the login": (
        KafkaError._AUTHENTICATION,
        "SASL SCRAM-SHA-512 mechanism handshake failed: Local: Broker transport "
        "failure: broker's supported mechanisms: (n/a) (after 0ms in state DOWN)",
    ),
    "a connection that broke during the login": (
        KafkaError._AUTHENTICATION,
        "SASL authentication error: Disconnected (after 1ms in state AUTH_REQ)",
    ),
    "a login that took too long": (
        KafkaError._AUTHENTICATION,
        "SASL authentication error: Local: Timed out (after 1ms in state AUTH_REQ)",
    ),
    "a closed port": (
        KafkaError._TRANSPORT,
        "Connect to ipv4#127.0.0.1:9093 failed: Connection refused (after 0ms)",
    ),
    "a TLS handshake that broke": (
        KafkaError._SSL,
        "SSL handshake failed: SSL transport error: Connection reset by peer",
    ),
    "all of them being away": (KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"),
}
LASTING = {
    "a login": (
        KafkaError._AUTHENTICATION,
        "SASL authentication error: Authentication failed (after 1ms in state AUTH_REQ)",
        "The broker one.example:9093 refuses the user 'ann': wrong user or password.",
    ),
    "a mechanism": (
        KafkaError._AUTHENTICATION,
        "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: "
        "broker's supported mechanisms: GSSAPI,OAUTHBEARER (after 1ms in state X)",
        "The broker one.example:9093 offers no PLAIN, only GSSAPI, OAUTHBEARER.",
    ),
    "a certificate": (
        KafkaError._TRANSPORT,
        "Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate "
        "required: SSL alert number 116 (after 0ms in state APIVERSION_QUERY)",
        "The broker one.example:9093 asks for a client certificate, and none is set.",
    ),
    "a TLS version": (
        KafkaError._SSL,
        "SSL handshake failed: error:0A00042E:SSL routines::tlsv1 alert protocol "
        "version: SSL alert number 70 (after 0ms in state SSL_HANDSHAKE)",
        "The broker one.example:9093 breaks off the TLS handshake (protocol version).",
    ),
    "a right": (
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        "Broker: Group authorization failed",
        "The broker one.example:9093 denies the user 'ann' the rights "
        "(GROUP_AUTHORIZATION_FAILED).",
    ),
}


@pytest.mark.parametrize(("code", "text"), PASSING.values(), ids=PASSING)
def test_what_passes_by_itself_is_no_refusal(code: int, text: str) -> None:
    heard = ConnectionErrors(CONFIG)
    heard(KafkaError(code, AT + text))
    assert not heard.refused
    heard.raise_refusal()


@pytest.mark.parametrize(("code", "text", "what"), LASTING.values(), ids=LASTING)
def test_what_lasts_is_told_in_our_words(code: int, text: str, what: str) -> None:
    heard = ConnectionErrors(CONFIG)
    heard(KafkaError(KafkaError._TRANSPORT, AT + "Connect failed"))
    heard(KafkaError(code, AT + text))
    heard(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    assert heard.refused
    with pytest.raises(BrokerError) as error:
        heard.raise_refusal()
    assert error.value.what == what
    assert error.value.todo
    heard.forget()
    heard.raise_refusal()


def test_passwords_are_not_kept() -> None:
    assert "tr0ub4dor&3" not in str(public(CONFIG))
    assert "tr0ub4dor&3" not in str(vars(ConnectionErrors(CONFIG)))


@pytest.fixture
def hangs_up() -> Iterator[str]:
    """A port behind which nobody is: what forwards to a dead broker closes at once."""
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
def test_who_hangs_up_may_come_back(
    security: str | None,
    settings: Settings,
    hangs_up: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("semloop.kafka.topic.ANSWER_S", 1.0)
    monkeypatch.setattr("semloop.kafka.topic.PROBE_AFTER_S", 0.1)
    there = settings.replace(kafka=hangs_up, kafka_security=security)
    with pytest.raises(BrokerUnavailable, match="No Kafka broker answers at"):
        TopicAdmin(there).describe()


def test_nothing_is_known_of_who_says_nothing(
    hangs_up: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semloop.kafka.probe.TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = f"127.0.0.1:{server.getsockname()[1]}"
        assert (spoken(silent), certificate_fault(silent, None)) == (None, None)
    assert (spoken(silent), certificate_fault(silent, None)) == (None, None)
    assert (spoken(hangs_up), certificate_fault(hangs_up, None)) == (None, None)
