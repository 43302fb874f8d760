"""TLS, client certificates and logins, on a real broker with a listener for each."""

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
from tests.builders import keyed
from tests.conftest import a_topic
from tests.kafka.secure_broker import (
    KEY_PASSWORD,
    PASSWORD,
    Made,
    Secure,
    grant,
    set_password,
    settings_for,
    user,
)
from tests.services import wait_for

pytestmark = pytest.mark.real_broker


@pytest.fixture
def admin(secure: Secure) -> Callable[[str, Made], TopicAdmin]:
    return lambda listener, made: TopicAdmin(settings_for(secure, listener, made))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no other broker to wait for."""
    monkeypatch.setattr("semloop.kafka.topic.REFUSAL_GRACE_S", 0.1)
    monkeypatch.setattr("semloop.kafka.topic.PROBE_AFTER_S", 0.1)


CA = {"kafka_ca": "ca.pem"}
CERTIFICATE = {"kafka_certificate": "client.crt", "kafka_key": "client.key"}
LOCKED = CA | CERTIFICATE | {"kafka_key": "client.locked.key"}
IN_THE_CLEAR = {"kafka_security": "sasl_plaintext"}
OPEN: dict[str, tuple[str, Made]] = {
    "TLS": ("tls", CA),
    "a certificate": ("mutual", CA | CERTIFICATE),
    "a locked key": ("mutual", LOCKED | {"kafka_key_password": KEY_PASSWORD}),
    "a password": ("login", CA | user("bob")),
    "SCRAM-SHA-512": ("login", CA | user("bob", mechanism="scram-sha-512")),
    "SCRAM-SHA-256": ("scram256", CA | user("bob", mechanism="SCRAM-SHA-256")),
}


@pytest.mark.parametrize(("listener", "made"), OPEN.values(), ids=OPEN)
def test_a_broker_lets_us_in_by(
    listener: str, made: Made, admin: Callable[[str, Made], TopicAdmin]
) -> None:
    assert admin(listener, made).ensure().partitions == 4


REFUSED: dict[str, tuple[str, Made, str, str]] = {
    "a wrong password": (
        "login", CA | user("bob", "wrong"),
        "refuses the user 'bob': wrong user or password.", "SEMLOOP_KAFKA_PASSWORD",
    ),
    "a wrong password in PLAIN": (
        "open_login", IN_THE_CLEAR | user("ann", "wrong", "PLAIN"),
        "refuses the user 'ann': wrong user or password.", "SEMLOOP_KAFKA_USER",
    ),
    "an unknown user": (
        "scram256", CA | user("eva", mechanism="SCRAM-SHA-256"),
        "refuses the user 'eva': wrong user or password.", "SEMLOOP_KAFKA_USER",
    ),
    "a mechanism that is not offered": (
        "login", CA | user("bob", mechanism="SCRAM-SHA-256"),
        "offers no SCRAM-SHA-256, only PLAIN, SCRAM-SHA-512.", "SASL_MECHANISM",
    ),
    "a user without rights": (
        "login", CA | user("ann", mechanism="PLAIN"),
        "denies the user 'ann' the rights (TOPIC_AUTHORIZATION_FAILED).", "Describe",
    ),
    "a user where none is asked for": (
        "tls", CA | user("bob"), "asks for no user, and one is set.", "Unset",
    ),
    "a certificate of an unknown CA": (
        "tls", {"kafka_ca": "foreign-ca.pem"},
        "is not signed by SEMLOOP_KAFKA_CA (", "Set SEMLOOP_KAFKA_CA",
    ),
    "a CA that the system does not know": (
        "tls", {"kafka_security": "ssl"},
        "is not signed by a CA that this system knows.", "Set SEMLOOP_KAFKA_CA",
    ),
    "a certificate for another host": (
        "elsewhere", CA, "is for another host name.", "SEMLOOP_KAFKA",
    ),
    "a certificate that has expired": (
        "expired", CA, "is not valid now: certificate has expired.", "renewed",
    ),
    "no client certificate": (
        "mutual", CA, "asks for a client certificate, and none is set.",
        "Set SEMLOOP_KAFKA_CERTIFICATE",
    ),
    "a client certificate of another CA": (
        "mutual", CA | {"kafka_certificate": "foreign.crt", "kafka_key": "foreign.key"},
        "refuses our certificate ", "a CA that it trusts",
    ),
    "plaintext on a TLS port": (
        "tls", {}, "speaks ssl, but the settings mean plaintext.",
        "Set SEMLOOP_KAFKA_SECURITY to ssl",
    ),
    "plaintext on a port that asks for a certificate": (
        "mutual", {}, "speaks ssl, but the settings mean plaintext.",
        "Set SEMLOOP_KAFKA_SECURITY to ssl",
    ),
    "plaintext on a TLS port for users": (
        "login", {}, "speaks sasl_ssl, but the settings mean plaintext.",
        "SEMLOOP_KAFKA_USER",
    ),
    "TLS on a plaintext port": (
        "plaintext", CA, "speaks plaintext, but the settings mean ssl.", "port for TLS",
    ),
    "a login over TLS on a plaintext port": (
        "plaintext", CA | user("bob"),
        "speaks plaintext, but the settings mean sasl_ssl.", "port for TLS",
    ),
    "no user where one is asked for": (
        "login", CA, "speaks sasl_ssl, but the settings mean ssl.",
        "Set SEMLOOP_KAFKA_USER",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(("listener", "made", "what", "todo"), REFUSED.values(), ids=REFUSED)  # fmt: skip
def test_a_refusal_is_told_with_its_reason(
    listener: str,
    made: Made,
    what: str,
    todo: str,
    secure: Secure,
    admin: Callable[[str, Made], TopicAdmin],
) -> None:
    with pytest.raises(BrokerError) as error:
        admin(listener, made).describe()
    assert getattr(secure, listener) in error.value.what
    assert what in error.value.what
    assert todo in error.value.todo
    told(error.value)


UNUSABLE: dict[str, tuple[Made, str]] = {
    "the wrong password of a key": (
        LOCKED | {"kafka_key_password": "wrong"}, "client.locked.key is wrong.",
    ),
    "no password of a key": (LOCKED, "client.locked.key is missing."),
    "another certificate's key": (
        CA | CERTIFICATE | {"kafka_key": "foreign.key"}, "is not that of",
    ),
    "a key for a CA": (CERTIFICATE | {"kafka_ca": "client.key"}, "holds no certificate"),
    "a key for a certificate": (
        CERTIFICATE | {"kafka_certificate": "client.key"}, "holds no certificate",
    ),
    "a certificate for a key": (
        CERTIFICATE | {"kafka_key": "client.crt"}, "holds no private key",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("made", "what"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_file_that_holds_something_else_is_named(
    made: Made, what: str, admin: Callable[[str, Made], TopicAdmin]
) -> None:
    with pytest.raises(ConfigError) as error:
        admin("mutual", made)
    assert what in error.value.what
    assert "SEMLOOP_KAFKA_" in error.value.todo
    told(error.value)


def test_a_producer_a_reader_and_a_count_are_given_up_at_once(secure: Secure) -> None:
    settings = settings_for(secure, "login", CA | user("bob", "wrong"))
    refused = "refuses the user 'bob': wrong user or password."
    record = Record(1, b"key", b"{}", "an id", is_event=True)
    with pytest.raises(BrokerError) as error:
        produce([record] * 3, producer_config(settings), settings.topic)
    assert error.value.what.startswith("Kafka took 0 records for 'none-yet'. ")
    assert refused in error.value.what
    with pytest.raises(BrokerError, match=refused):
        missing(settings, {0: Position()}, None, None)
    reader = KafkaReader(
        settings,
        Topic("c", settings.topic, "t", 1),
        keyed({0: -1}, "t"),
        CommittedOffsets("g"),
    )
    with pytest.raises(BrokerError, match=refused):
        wait_for("the refusal", lambda: reader.poll() is None)
    reader.close()


def told(error: BrokerError | ConfigError) -> None:
    """One line each, and no secret."""
    assert "\n" not in error.what + error.todo
    assert PASSWORD not in str(error)
    assert KEY_PASSWORD not in str(error)


def test_each_missing_right_is_told_and_granting_it_helps(
    secure: Secure,
) -> None:
    topic = a_topic()
    made = user("ida") | CA | {"topic": topic}
    settings = settings_for(secure, "login", made)
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
            BrokerError, match="denies the user 'ida' the rights"
        ) as error:
            step()
        assert todo in error.value.todo

    denied(TopicAdmin(settings).ensure, "Grant Describe and Read on the topic")
    allow("TOPIC", topic, "DESCRIBE")
    allow("TOPIC", topic, "CREATE")
    granted(TopicAdmin(settings).ensure)
    denied(send, "for `import` Write")
    allow("TOPIC", topic, "WRITE")
    granted(send)
    denied(lambda: missing(settings, {0: Position()}), "Grant Describe and Read")
    denied(read, "Grant ")
    allow("TOPIC", topic, "READ")
    # `status` needs no group; a flow does, to tell lag monitors how far it is.
    granted(lambda: missing(settings, dict.fromkeys(range(4), Position()), None, None))
    denied(read, "Grant Read on the group 'readers'.")
    allow("GROUP", "readers", "READ")
    granted(read)


def granted(step: Callable[[], object]) -> None:
    """A right takes a moment to reach the broker."""

    def works() -> bool:
        try:
            step()
        except BrokerError:
            return False
        return True

    wait_for("the right", works)
