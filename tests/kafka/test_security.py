"""What the settings for TLS and logins mean, and what contradicts itself."""

from pathlib import Path
from typing import Any

import pytest

from semloop.errors import ConfigError
from semloop.kafka.clients import client_config, producer_config
from semloop.settings import load

HIDDEN = "tr0ub4dor&3-horse"
PLACE = "broker.example:9093"
CERTIFICATE = {"kafka_certificate": "file", "kafka_key": "file"}
USER = {"kafka_user": "ann", "kafka_password": HIDDEN}


@pytest.fixture(autouse=True)
def _file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()


def config(**settings: Any) -> dict[str, Any]:
    return client_config(load({}, **{"kafka": PLACE, **settings}))


def refused(**settings: Any) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        config(**settings)
    assert "\n" not in error.value.what + error.value.todo
    assert HIDDEN not in str(error.value)
    return error.value


@pytest.mark.parametrize(
    ("settings", "protocol"),
    [
        ({}, "plaintext"),
        ({"kafka_ca": "file"}, "ssl"),
        (CERTIFICATE, "ssl"),
        (USER, "sasl_ssl"),
        (USER | CERTIFICATE | {"kafka_ca": "file"}, "sasl_ssl"),
        ({"kafka_security": "SSL"}, "ssl"),
        (USER | {"kafka_security": "SASL_PLAINTEXT"}, "sasl_plaintext"),
        ({"kafka_security": "plaintext"}, "plaintext"),
    ],
    ids=["nothing", "a CA", "a certificate", "a user", "all", "TLS by name",
         "no TLS by name", "plaintext by name"],
)  # fmt: skip
def test_what_is_set_says_what_is_meant(
    settings: dict[str, Any], protocol: str
) -> None:
    assert config(**settings)["security.protocol"] == protocol


def test_the_name_of_the_broker_is_always_verified() -> None:
    for settings in ({"kafka_ca": "file"}, USER, {"kafka_security": "ssl"}):
        found = config(**settings)
        assert found["ssl.endpoint.identification.algorithm"] == "https"
        assert found["enable.ssl.certificate.verification"] == "true"


def test_every_client_gets_all_of_it() -> None:
    settings = load(
        {},
        kafka=PLACE,
        kafka_ca="file",
        kafka_key_password=HIDDEN,
        kafka_sasl_mechanism="plain",
        **CERTIFICATE,  # type: ignore[arg-type]
        **USER,  # type: ignore[arg-type]
    )
    wanted = {
        "security.protocol": "sasl_ssl",
        "ssl.ca.location": "file",
        "ssl.certificate.location": "file",
        "ssl.key.location": "file",
        "ssl.key.password": HIDDEN,
        "sasl.mechanism": "PLAIN",
        "sasl.username": "ann",
        "sasl.password": HIDDEN,
    }
    for found in (client_config(settings), producer_config(settings)):
        assert found.items() >= wanted.items()
    assert HIDDEN not in repr(settings)


def test_a_password_is_not_sent_unless_that_is_asked_for() -> None:
    assert config(**USER)["sasl.mechanism"] == "SCRAM-SHA-512"


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a certificate without its key": (
        {"kafka_certificate": "file"},
        "Setting 'kafka_certificate' is there without 'kafka_key'.",
        "Set SEMLOOP_KAFKA_KEY too.",
    ),
    "a key without its certificate": (
        {"kafka_key": "file"},
        "Setting 'kafka_key' is there without 'kafka_certificate'.",
        "Set SEMLOOP_KAFKA_CERTIFICATE too.",
    ),
    "a password of no key": (
        {"kafka_key_password": HIDDEN},
        "Setting 'kafka_key_password' is there without 'kafka_key'.",
        "Set SEMLOOP_KAFKA_KEY too.",
    ),
    "a user without a password": (
        {"kafka_user": "ann"},
        "Setting 'kafka_user' is there without 'kafka_password'.",
        "Set SEMLOOP_KAFKA_PASSWORD too.",
    ),
    "a password of nobody": (
        {"kafka_password": HIDDEN},
        "Setting 'kafka_password' is there without 'kafka_user'.",
        "Set SEMLOOP_KAFKA_USER too.",
    ),
    "a mechanism for nobody": (
        {"kafka_sasl_mechanism": "PLAIN"},
        "Setting 'kafka_sasl_mechanism' is there without 'kafka_user'.",
        "Set SEMLOOP_KAFKA_USER too.",
    ),
    "TLS files in plaintext": (
        {"kafka_ca": "file", "kafka_security": "plaintext"},
        "Setting 'kafka_ca' is for TLS, but 'kafka_security' is 'plaintext'.",
        "Leave out SEMLOOP_KAFKA_SECURITY.",
    ),
    "a user in TLS alone": (
        USER | {"kafka_security": "ssl"},
        "Setting 'kafka_user' is there, but 'kafka_security' is 'ssl'.",
        "Set SEMLOOP_KAFKA_SECURITY to sasl_ssl.",
    ),
    "a login of nobody": (
        {"kafka_security": "sasl_ssl"},
        "Setting 'kafka_security' is 'sasl_ssl', and there is no user.",
        "Set SEMLOOP_KAFKA_USER and SEMLOOP_KAFKA_PASSWORD.",
    ),
    "no broker": (
        USER | {"kafka": None},
        "Setting 'kafka_user' is for a broker of yours, and none is named.",
        "Set SEMLOOP_KAFKA, or unset SEMLOOP_KAFKA_USER.",
    ),
    "an empty password": (
        USER | {"kafka_password": ""},
        "Setting 'kafka_password' is empty.",
        "Set SEMLOOP_KAFKA_PASSWORD, or leave it out.",
    ),
}


@pytest.mark.parametrize(
    ("settings", "what", "todo"), CONTRADICTIONS.values(), ids=CONTRADICTIONS
)
def test_a_contradiction_is_told_in_one_line(
    settings: dict[str, Any], what: str, todo: str
) -> None:
    error = refused(**settings)
    assert (error.what, error.todo) == (what, todo)


@pytest.mark.parametrize(
    ("path", "reason"),
    [("nowhere", "No such file or directory"), ("", "Is a directory")],
    ids=["missing", "a folder"],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, path: str, reason: str
) -> None:
    file = tmp_path / path
    error = refused(kafka_ca=str(file))
    assert error.what == f"Setting 'kafka_ca': {file} cannot be read: {reason}."
    assert error.todo == "Set SEMLOOP_KAFKA_CA to a PEM file."


@pytest.mark.parametrize(
    ("name", "value"),
    [("kafka_security", "tls"), ("kafka_sasl_mechanism", "GSSAPI")],
)
def test_what_is_not_spoken_is_refused(name: str, value: str) -> None:
    assert refused(**{name: value}).what.startswith(f"Setting {name!r}: ")
