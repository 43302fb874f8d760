"""TLS and login configuration for librdkafka, derived from the settings.

The protocol follows from the settings: a user name selects a login over TLS, a CA or a
certificate selects TLS. Contradictory settings are rejected, so that no connection is
less protected than intended.
"""

from collections.abc import Iterator, Sequence

from semloop.errors import ConfigError
from semloop.settings import PREFIX, Secret, Settings
from semloop.settings.sections import SecurityProtocol

DEFAULT_MECHANISM = "SCRAM-SHA-512"
TLS_FILES = ("kafka_ca", "kafka_certificate", "kafka_key")
LOGIN = ("kafka_user", "kafka_password", "kafka_sasl_mechanism")
# (setting, setting that it requires)
REQUIRES = (
    ("kafka_certificate", "kafka_key"),
    ("kafka_key", "kafka_certificate"),
    ("kafka_key_password", "kafka_key"),
    ("kafka_user", "kafka_password"),
    ("kafka_password", "kafka_user"),
    ("kafka_sasl_mechanism", "kafka_user"),
)


def security_config(settings: Settings) -> dict[str, str]:
    """Return protocol, files and login for librdkafka, with passwords in clear text.

    Raises:
        ConfigError: settings contradict each other, or a file cannot be read.
    """
    given = list(_given(settings))
    protocol = _protocol(settings, given)
    config: dict[str, str] = {"security.protocol": protocol}
    if protocol.endswith("ssl"):
        files = (
            ("ssl.ca.location", "kafka_ca"),
            ("ssl.certificate.location", "kafka_certificate"),
            ("ssl.key.location", "kafka_key"),
        )
        config |= {key: _file(name, settings) for key, name in files if name in given}
        # Verify that the certificate was issued for this host.
        config["ssl.endpoint.identification.algorithm"] = "https"
        config["enable.ssl.certificate.verification"] = "true"
        if settings.security.key_password is not None:
            config["ssl.key.password"] = settings.security.key_password.reveal()
    if settings.security.user is not None and settings.security.password is not None:
        config |= {
            "sasl.mechanism": settings.security.sasl_mechanism or DEFAULT_MECHANISM,
            "sasl.username": settings.security.user,
            "sasl.password": settings.security.password.reveal(),
        }
    return config


def _given(settings: Settings) -> Iterator[str]:
    for name in ("kafka_security", *TLS_FILES, "kafka_key_password", *LOGIN):
        value = settings.value(name)
        text = value.reveal() if isinstance(value, Secret) else value
        if text == "":
            msg = f"Setting {name!r} is empty."
            raise ConfigError(msg, f"Set {_variable(name)}, or unset it.")
        if text is not None:
            yield name


def _protocol(settings: Settings, given: Sequence[str]) -> SecurityProtocol:
    """Return the protocol that the settings select.

    Raises:
        ConfigError: the settings select different ones.
    """
    if given and settings.kafka is None:
        msg = f"Setting {given[0]!r} requires the setting 'kafka'."
        raise ConfigError(msg, f"Set SEMLOOP_KAFKA, or unset {_variable(given[0])}.")
    for name, other in REQUIRES:
        if name in given and other not in given:
            msg = f"Setting {name!r} requires the setting {other!r}."
            raise ConfigError(msg, f"Set {_variable(other)} too.")
    files = [name for name in TLS_FILES if name in given]
    login = "kafka_user" in given
    protocol = settings.security.protocol
    if protocol is None:
        return "sasl_ssl" if login else "ssl" if files else "plaintext"
    if files and not protocol.endswith("ssl"):
        msg = (
            f"Setting {files[0]!r} requires TLS, but 'kafka_security' is {protocol!r}."
        )
        raise ConfigError(msg, f"Unset {_variable('kafka_security')}.")
    if login and not protocol.startswith("sasl"):
        msg = (
            f"Setting 'kafka_user' requires SASL, but 'kafka_security' is {protocol!r}."
        )
        raise ConfigError(msg, f"Set {_variable('kafka_security')} to sasl_ssl.")
    if protocol.startswith("sasl") and not login:
        msg = f"Setting 'kafka_security' is {protocol!r}, but no user is set."
        raise ConfigError(msg, "Set SEMLOOP_KAFKA_USER and SEMLOOP_KAFKA_PASSWORD.")
    return protocol


def _file(name: str, settings: Settings) -> str:
    """Return the path of a readable file; librdkafka does not report why it is not."""
    path: str = settings.value(name)
    try:
        with open(path, "rb"):
            return path
    except OSError as error:
        msg = f"Setting {name!r}: {path} cannot be read: {error.strerror}."
        raise ConfigError(msg, f"Set {_variable(name)} to a PEM file.") from None


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"
