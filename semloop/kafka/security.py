"""Settings -> TLS and login for librdkafka.

What is set says what is meant: a user name means a login over TLS, a CA or a
certificate means TLS. What contradicts itself is refused, so that nothing is ever sent
less protected than its owner thought.
"""

from collections.abc import Iterator, Sequence

from semloop.errors import ConfigError
from semloop.settings import PREFIX, Secret, Settings
from semloop.settings.sections import SecurityProtocol

DEFAULT_MECHANISM = "SCRAM-SHA-512"
TLS_FILES = ("kafka_ca", "kafka_certificate", "kafka_key")
LOGIN = ("kafka_user", "kafka_password", "kafka_sasl_mechanism")
# What makes no sense without the other.
NEEDS = (
    ("kafka_certificate", "kafka_key"),
    ("kafka_key", "kafka_certificate"),
    ("kafka_key_password", "kafka_key"),
    ("kafka_user", "kafka_password"),
    ("kafka_password", "kafka_user"),
    ("kafka_sasl_mechanism", "kafka_user"),
)


def security_config(settings: Settings) -> dict[str, str]:
    """Protocol, files and login as librdkafka calls them; with passwords in the clear.

    Raises:
        ConfigError: settings that contradict each other, or a file that cannot be read.
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
        # A certificate counts only for the host that it was issued for.
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
            raise ConfigError(msg, f"Set {_variable(name)}, or leave it out.")
        if text is not None:
            yield name


def _protocol(settings: Settings, given: Sequence[str]) -> SecurityProtocol:
    """The protocol that is meant.

    Raises:
        ConfigError: the settings mean different ones.
    """
    if given and settings.kafka is None:
        msg = f"Setting {given[0]!r} is for a broker of yours, and none is named."
        raise ConfigError(msg, f"Set SEMLOOP_KAFKA, or unset {_variable(given[0])}.")
    for name, other in NEEDS:
        if name in given and other not in given:
            msg = f"Setting {name!r} is there without {other!r}."
            raise ConfigError(msg, f"Set {_variable(other)} too.")
    files = [name for name in TLS_FILES if name in given]
    login = "kafka_user" in given
    protocol = settings.security.protocol
    if protocol is None:
        return "sasl_ssl" if login else "ssl" if files else "plaintext"
    if files and not protocol.endswith("ssl"):
        msg = f"Setting {files[0]!r} is for TLS, but 'kafka_security' is {protocol!r}."
        raise ConfigError(msg, f"Leave out {_variable('kafka_security')}.")
    if login and not protocol.startswith("sasl"):
        msg = f"Setting 'kafka_user' is there, but 'kafka_security' is {protocol!r}."
        raise ConfigError(msg, f"Set {_variable('kafka_security')} to sasl_ssl.")
    if protocol.startswith("sasl") and not login:
        msg = f"Setting 'kafka_security' is {protocol!r}, and there is no user."
        raise ConfigError(msg, "Set SEMLOOP_KAFKA_USER and SEMLOOP_KAFKA_PASSWORD.")
    return protocol


def _file(name: str, settings: Settings) -> str:
    """The path of a file that can be read: librdkafka would not say why it cannot."""
    path: str = settings.value(name)
    try:
        with open(path, "rb"):
            return path
    except OSError as error:
        msg = f"Setting {name!r}: {path} cannot be read: {error.strerror}."
        raise ConfigError(msg, f"Set {_variable(name)} to a PEM file.") from None


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"
