"""TLS, client certificates and logins on a real broker with a listener for each."""

import uuid
from collections.abc import Callable
from functools import partial

import pytest

from schemas.committed import CommittedOffsets
from schemas.lines import Record
from semloop.errors import BrokerError, ConfigError
from semloop.kafka.clients import producer_config
from semloop.kafka.topic import Topic, TopicAdmin
from semloop.progress.backlog import missing
from semloop.progress.positions import Position
from sinks.topic import produce
from sources.kafka.reader import KafkaReader
from tests.kafka.secure_broker import (
    KEY_PASSWORD,
    PASSWORD,
    Secure,
    SettingValues,
    grant,
    set_password,
    settings_for,
    user,
)
from tests.support.builders import keyed
from tests.support.lakes import a_topic
from tests.support.services import wait_for

pytestmark = pytest.mark.real_broker


@pytest.fixture
def admin(secure: Secure) -> Callable[[str, SettingValues], TopicAdmin]:
    return lambda listener, values: TopicAdmin(settings_for(secure, listener, values))


@pytest.fixture
def no_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for other brokers: there is only one."""
    monkeypatch.setattr("semloop.kafka.topic.REFUSAL_GRACE_S", 0.1)
    monkeypatch.setattr("semloop.kafka.topic.PROBE_AFTER_S", 0.1)


CA = {"kafka_ca": "ca.pem"}
CERTIFICATE = {"kafka_certificate": "client.crt", "kafka_key": "client.key"}
ENCRYPTED_KEY = CA | CERTIFICATE | {"kafka_key": "client.locked.key"}
IN_THE_CLEAR = {"kafka_security": "sasl_plaintext"}
ACCEPTED: dict[str, tuple[str, SettingValues]] = {
    "TLS": ("tls", CA),
    "a certificate": ("mutual", CA | CERTIFICATE),
    "an encrypted key": (
        "mutual",
        ENCRYPTED_KEY | {"kafka_key_password": KEY_PASSWORD},
    ),
    "a password": ("login", CA | user("bob")),
    "SCRAM-SHA-512": ("login", CA | user("bob", mechanism="scram-sha-512")),
    "SCRAM-SHA-256": ("scram256", CA | user("bob", mechanism="SCRAM-SHA-256")),
}


@pytest.mark.parametrize(("listener", "values"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_broker_accepts(
    listener: str,
    values: SettingValues,
    admin: Callable[[str, SettingValues], TopicAdmin],
) -> None:
    assert admin(listener, values).ensure().partitions == 4


REFUSED: dict[str, tuple[str, SettingValues, str, str]] = {
    "a wrong password": (
        "login", CA | user("bob", "wrong"),
        "rejects the user 'bob': wrong user or password.", "SEMLOOP_KAFKA_PASSWORD",
    ),
    "a wrong password in PLAIN": (
        "open_login", IN_THE_CLEAR | user("ann", "wrong", "PLAIN"),
        "rejects the user 'ann': wrong user or password.", "SEMLOOP_KAFKA_USER",
    ),
    "an unknown user": (
        "scram256", CA | user("eva", mechanism="SCRAM-SHA-256"),
        "rejects the user 'eva': wrong user or password.", "SEMLOOP_KAFKA_USER",
    ),
    "an unsupported mechanism": (
        "login", CA | user("bob", mechanism="SCRAM-SHA-256"),
        "does not support SCRAM-SHA-256, only PLAIN, SCRAM-SHA-512.", "SASL_MECHANISM",
    ),
    "a user without permissions": (
        "login", CA | user("ann", mechanism="PLAIN"),
        "denies the user 'ann' permission (TOPIC_AUTHORIZATION_FAILED).", "Describe",
    ),
    "a user without SASL": (
        "tls", CA | user("bob"), "does not use SASL, but a user is set.", "Unset",
    ),
    "a certificate of an unknown CA": (
        "tls", {"kafka_ca": "foreign-ca.pem"},
        "is not signed by SEMLOOP_KAFKA_CA (", "Set SEMLOOP_KAFKA_CA",
    ),
    "a CA that the system does not trust": (
        "tls", {"kafka_security": "ssl"},
        "is not signed by a CA that this system trusts.", "Set SEMLOOP_KAFKA_CA",
    ),
    "a certificate for another host": (
        "elsewhere", CA, "is for another host name.", "SEMLOOP_KAFKA",
    ),
    "an expired certificate": (
        "expired", CA, "is not valid now: certificate has expired.", "Renew it",
    ),
    "no client certificate": (
        "mutual", CA, "requires a client certificate, but none is set.",
        "Set SEMLOOP_KAFKA_CERTIFICATE",
    ),
    "a client certificate of another CA": (
        "mutual", CA | {"kafka_certificate": "foreign.crt", "kafka_key": "foreign.key"},
        "rejects the client certificate ", "a CA that it trusts",
    ),
    "plaintext on a TLS port": (
        "tls", {}, "uses ssl, but the settings select plaintext.",
        "Set SEMLOOP_KAFKA_SECURITY to ssl",
    ),
    "plaintext on a port that requires a certificate": (
        "mutual", {}, "uses ssl, but the settings select plaintext.",
        "Set SEMLOOP_KAFKA_SECURITY to ssl",
    ),
    "plaintext on a TLS port for users": (
        "login", {}, "uses sasl_ssl, but the settings select plaintext.",
        "SEMLOOP_KAFKA_USER",
    ),
    "TLS on a plaintext port": (
        "plaintext", CA, "uses plaintext, but the settings select ssl.", "TLS port",
    ),
    "a login over TLS on a plaintext port": (
        "plaintext", CA | user("bob"),
        "uses plaintext, but the settings select sasl_ssl.", "TLS port",
    ),
    "no user on a SASL port": (
        "login", CA, "uses sasl_ssl, but the settings select ssl.",
        "Set SEMLOOP_KAFKA_USER",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("no_grace_period")
@pytest.mark.parametrize(("listener", "values", "what", "todo"), REFUSED.values(), ids=REFUSED)  # fmt: skip
def test_a_refusal_is_reported_with_its_reason(
    listener: str,
    values: SettingValues,
    what: str,
    todo: str,
    secure: Secure,
    admin: Callable[[str, SettingValues], TopicAdmin],
) -> None:
    with pytest.raises(BrokerError) as error:
        admin(listener, values).describe()
    assert getattr(secure, listener) in error.value.what
    assert what in error.value.what
    assert todo in error.value.todo
    check_error_text(error.value)


UNUSABLE: dict[str, tuple[SettingValues, str]] = {
    "the wrong password of a key": (
        ENCRYPTED_KEY | {"kafka_key_password": "wrong"}, "client.locked.key is wrong.",
    ),
    "no password of a key": (ENCRYPTED_KEY, "client.locked.key is missing."),
    "another certificate's key": (
        CA | CERTIFICATE | {"kafka_key": "foreign.key"}, "does not match the certificate",
    ),
    "a key for a CA": (CERTIFICATE | {"kafka_ca": "client.key"}, "does not contain a valid certificate"),
    "a key for a certificate": (
        CERTIFICATE | {"kafka_certificate": "client.key"}, "does not contain a valid certificate",
    ),
    "a certificate for a key": (
        CERTIFICATE | {"kafka_key": "client.crt"}, "does not contain a valid private key",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("values", "what"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_file_with_wrong_content_is_reported(
    values: SettingValues, what: str, admin: Callable[[str, SettingValues], TopicAdmin]
) -> None:
    with pytest.raises(ConfigError) as error:
        admin("mutual", values)
    assert what in error.value.what
    assert "SEMLOOP_KAFKA_" in error.value.todo
    check_error_text(error.value)


def test_producer_reader_and_backlog_fail_immediately_after_a_refusal(
    secure: Secure,
) -> None:
    settings = settings_for(secure, "login", CA | user("bob", "wrong"))
    rejected = "rejects the user 'bob': wrong user or password."
    record = Record(1, b"key", b"{}", "an id", is_event=True)
    with pytest.raises(BrokerError) as error:
        produce([record] * 3, producer_config(settings), settings.topic)
    assert error.value.what.startswith("Kafka accepted 0 records for 'none-yet'. ")
    assert rejected in error.value.what
    with pytest.raises(BrokerError, match=rejected):
        missing(settings, {0: Position()}, None, None)
    reader = KafkaReader(
        settings,
        Topic("c", settings.topic, "t", 1),
        keyed({0: -1}, "t"),
        CommittedOffsets("g"),
    )
    with pytest.raises(BrokerError, match=rejected):
        wait_for("the refusal", lambda: reader.poll() is None)
    reader.close()


def check_error_text(error: BrokerError | ConfigError) -> None:
    """Check that what and todo are one line each, without a secret."""
    assert "\n" not in error.what + error.todo
    assert PASSWORD not in str(error)
    assert KEY_PASSWORD not in str(error)


def test_each_missing_permission_is_reported_until_it_is_granted(
    secure: Secure,
) -> None:
    topic = a_topic()
    values = user("ida") | CA | {"topic": topic}
    settings = settings_for(secure, "login", values)
    allow = partial(grant, secure.plaintext, "ida")
    set_password(secure.plaintext, "ida", PASSWORD)
    record = Record(1, b"key", b"{}", str(uuid.uuid4()), is_event=True)

    def send() -> None:
        assert produce([record], producer_config(settings), settings.topic).records == 1

    def read() -> None:
        found = TopicAdmin(settings).describe()
        reader = KafkaReader(
            settings,
            found,
            keyed(dict.fromkeys(range(4), -1), found.topic_id),
            CommittedOffsets("readers"),
        )
        try:
            wait_for("the end", lambda: reader.poll() and reader.caught_up)
        finally:
            reader.close()

    def denied(step: Callable[[], object], todo: str) -> None:
        with pytest.raises(
            BrokerError, match="denies the user 'ida' permission"
        ) as error:
            step()
        assert todo in error.value.todo

    denied(TopicAdmin(settings).ensure, "Grant Describe and Read on the topic")
    allow("TOPIC", topic, "DESCRIBE")
    allow("TOPIC", topic, "CREATE")
    granted(TopicAdmin(settings).ensure)
    denied(send, "`import` also needs Write")
    allow("TOPIC", topic, "WRITE")
    granted(send)
    denied(lambda: missing(settings, {0: Position()}), "Grant Describe and Read")
    denied(read, "Grant ")
    allow("TOPIC", topic, "READ")
    # Only a flow needs a group, to which it commits offsets for lag monitors.
    granted(lambda: missing(settings, dict.fromkeys(range(4), Position()), None, None))
    denied(read, "Grant Read on the group 'readers'.")
    allow("GROUP", "readers", "READ")
    granted(read)


def granted(step: Callable[[], object]) -> None:
    """Retry until the permission has reached the broker."""

    def works() -> bool:
        try:
            step()
        except BrokerError:
            return False
        return True

    wait_for("the permission", works)
