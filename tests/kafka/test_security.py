"""Protocols that the settings for TLS and logins select, and contradictions."""

from pathlib import Path
from typing import Any

import pytest

from semloop.errors import ConfigError
from semloop.kafka.clients import client_config, producer_config
from semloop.settings import load

HIDDEN = "tr0ub4dor&3-horse"
SERVER = "broker.example:9093"
CERTIFICATE = {"kafka_certificate": "file", "kafka_key": "file"}
USER = {"kafka_user": "ann", "kafka_password": HIDDEN}


@pytest.fixture(autouse=True)
def _file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()


def config(**settings: Any) -> dict[str, Any]:
    return client_config(load({}, **{"kafka": SERVER, **settings}))


def rejected(**settings: Any) -> ConfigError:
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
def test_the_protocol_follows_from_the_settings(
    settings: dict[str, Any], protocol: str
) -> None:
    assert config(**settings)["security.protocol"] == protocol


def test_the_host_name_of_the_broker_is_always_verified() -> None:
    for settings in ({"kafka_ca": "file"}, USER, {"kafka_security": "ssl"}):
        found = config(**settings)
        assert found["ssl.endpoint.identification.algorithm"] == "https"
        assert found["enable.ssl.certificate.verification"] == "true"


def test_every_client_gets_all_security_settings() -> None:
    settings = load(
        {},
        kafka=SERVER,
        kafka_ca="file",
        kafka_key_password=HIDDEN,
        kafka_sasl_mechanism="plain",
        **CERTIFICATE,  # type: ignore[arg-type]
        **USER,  # type: ignore[arg-type]
    )
    expected = {
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
        assert found.items() >= expected.items()
    assert HIDDEN not in repr(settings)


def test_the_default_mechanism_does_not_send_the_password() -> None:
    assert config(**USER)["sasl.mechanism"] == "SCRAM-SHA-512"


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a certificate without its key": (
        {"kafka_certificate": "file"},
        "Setting 'kafka_certificate' requires the setting 'kafka_key'.",
        "Set SEMLOOP_KAFKA_KEY too.",
    ),
    "a key without its certificate": (
        {"kafka_key": "file"},
        "Setting 'kafka_key' requires the setting 'kafka_certificate'.",
        "Set SEMLOOP_KAFKA_CERTIFICATE too.",
    ),
    "a password without its key": (
        {"kafka_key_password": HIDDEN},
        "Setting 'kafka_key_password' requires the setting 'kafka_key'.",
        "Set SEMLOOP_KAFKA_KEY too.",
    ),
    "a user without a password": (
        {"kafka_user": "ann"},
        "Setting 'kafka_user' requires the setting 'kafka_password'.",
        "Set SEMLOOP_KAFKA_PASSWORD too.",
    ),
    "a password without a user": (
        {"kafka_password": HIDDEN},
        "Setting 'kafka_password' requires the setting 'kafka_user'.",
        "Set SEMLOOP_KAFKA_USER too.",
    ),
    "a mechanism without a user": (
        {"kafka_sasl_mechanism": "PLAIN"},
        "Setting 'kafka_sasl_mechanism' requires the setting 'kafka_user'.",
        "Set SEMLOOP_KAFKA_USER too.",
    ),
    "TLS files for plaintext": (
        {"kafka_ca": "file", "kafka_security": "plaintext"},
        "Setting 'kafka_ca' requires TLS, but 'kafka_security' is 'plaintext'.",
        "Unset SEMLOOP_KAFKA_SECURITY.",
    ),
    "a user for TLS without SASL": (
        USER | {"kafka_security": "ssl"},
        "Setting 'kafka_user' requires SASL, but 'kafka_security' is 'ssl'.",
        "Set SEMLOOP_KAFKA_SECURITY to sasl_ssl.",
    ),
    "SASL without a user": (
        {"kafka_security": "sasl_ssl"},
        "Setting 'kafka_security' is 'sasl_ssl', but no user is set.",
        "Set SEMLOOP_KAFKA_USER and SEMLOOP_KAFKA_PASSWORD.",
    ),
    "no broker": (
        USER | {"kafka": None},
        "Setting 'kafka_user' requires the setting 'kafka'.",
        "Set SEMLOOP_KAFKA, or unset SEMLOOP_KAFKA_USER.",
    ),
    "an empty password": (
        USER | {"kafka_password": ""},
        "Setting 'kafka_password' is empty.",
        "Set SEMLOOP_KAFKA_PASSWORD, or unset it.",
    ),
}


@pytest.mark.parametrize(
    ("settings", "what", "todo"), CONTRADICTIONS.values(), ids=CONTRADICTIONS
)
def test_a_contradiction_is_reported_in_one_line(
    settings: dict[str, Any], what: str, todo: str
) -> None:
    error = rejected(**settings)
    assert (error.what, error.todo) == (what, todo)


@pytest.mark.parametrize(
    ("path", "reason"),
    [("nowhere", "No such file or directory"), ("", "Is a directory")],
    ids=["missing", "a folder"],
)
def test_an_unreadable_file_is_reported_with_its_path(
    tmp_path: Path, path: str, reason: str
) -> None:
    file = tmp_path / path
    error = rejected(kafka_ca=str(file))
    assert error.what == f"Setting 'kafka_ca': {file} cannot be read: {reason}."
    assert error.todo == "Set SEMLOOP_KAFKA_CA to a PEM file."


@pytest.mark.parametrize(
    ("name", "value"),
    [("kafka_security", "tls"), ("kafka_sasl_mechanism", "GSSAPI")],
)
def test_an_unsupported_protocol_or_mechanism_is_rejected(
    name: str, value: str
) -> None:
    assert rejected(**{name: value}).what.startswith(f"Setting {name!r}: ")
