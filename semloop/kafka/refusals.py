"""What librdkafka says about a refused connection, in our words.

A refusal is only heard through `error_cb`: whoever asks something in the meantime
merely runs into a time-out. What a client meets while its broker goes down or comes up
is no refusal: librdkafka tries again by itself.
"""

import re
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError

from semloop.errors import BrokerError, ConfigError
from semloop.kafka.probe import certificate_fault

# `ssl://host:9093/bootstrap: what happened (after 3ms in state AUTH_REQ)`
PLACE = re.compile(r"^(?:\w+://)?(\S+:\d+)/")
ALERT = re.compile(r"alert ([a-z ]+): SSL alert number (\d+)")
OFFERED = re.compile(r"supported mechanisms: *([A-Z0-9,_-]*)")
# TLS alerts (RFC 8446, 6.2) by which a broker refuses the certificate of a client.
CERTIFICATE_ALERTS = {42, 43, 44, 45, 46, 48, 49, 116}
# Marks of librdkafka's own errors inside one that reads like a refusal: the connection
# broke while it was made.
BROKEN = ("Local: ", "Disconnected", "timed out")
# OpenSSL's X509_V_ERR_*.
EXPIRED, NOT_YET_VALID, OTHER_NAME, OTHER_ADDRESS = 10, 9, 62, 64
UNKNOWN_CA = {2, 18, 19, 20, 21}
TLS_SETTINGS = {
    "ssl.ca.location": "SEMLOOP_KAFKA_CA",
    "ssl.certificate.location": "SEMLOOP_KAFKA_CERTIFICATE",
    "ssl.key.location": "SEMLOOP_KAFKA_KEY",
}
TOPIC_RIGHTS = (
    "Grant Describe and Read on the topic; for `import` Write, and Create if it is new."
)
RIGHTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: TOPIC_RIGHTS,
    # A producer without the right to write is told this first.
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: TOPIC_RIGHTS,
    KafkaError.GROUP_AUTHORIZATION_FAILED: "Grant Read on the group {group!r}.",
}


class Heard:
    """An `error_cb` that remembers a refusal until it is asked for it.

    The callback is served by whatever polls the client: `consume`, `poll`, `flush`.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config`: of the client, for the names in it."""
        self._config = public(config)
        self._refusal: KafkaError | None = None
        self.said = ""

    def __call__(self, error: KafkaError) -> None:
        """Note an error of the connection."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            return
        self.said = without_place(error.str())
        if self._refusal is None and is_refusal(error):
            self._refusal = error

    @property
    def refused(self) -> bool:
        """Whether a broker refuses us."""
        return self._refusal is not None

    def forget(self) -> None:
        """Listen anew: a refusal that lasts is heard again."""
        self._refusal, self.said = None, ""

    def refusal(self) -> BrokerError | None:
        """The refusal, if there was one, with its reason."""
        if self._refusal is None:
            return None
        return refusal(self._refusal, self._config)

    def raise_refusal(self) -> None:
        """Raise the refusal, if there was one.

        Raises:
            BrokerError: with the reason; trying again changes nothing.
        """
        if error := self.refusal():
            raise error


def public(config: Mapping[str, Any]) -> dict[str, Any]:
    """A client's configuration without its passwords."""
    return {key: value for key, value in config.items() if "password" not in key}


def is_refusal(error: KafkaError) -> bool:
    """Whether an error stays until somebody changes something."""
    code, text = error.code(), error.str()
    if code in RIGHTS or code == KafkaError.SASL_AUTHENTICATION_FAILED:
        return True
    if code == KafkaError._AUTHENTICATION:
        return not any(mark in text for mark in BROKEN)
    return bool(ALERT.search(text)) or _is_unverified(error)


def refusal(error: KafkaError, config: Mapping[str, Any]) -> BrokerError:
    """What a broker refuses, and what to do about it.

    Args:
        error: one that `is_refusal`, or an answer that denies a right.
        config: of the client.
    """
    text = error.str()
    place = PLACE.match(text)
    broker = f"broker {place[1] if place else config['bootstrap.servers']}"
    user = config.get("sasl.username")
    if _is_unverified(error):
        return _unverified(place[1] if place else None, broker, config)
    if alert := ALERT.search(text):
        return _alerted(alert[1], int(alert[2]), broker, config)
    if error.code() in RIGHTS:
        who = f"the user {user!r}" if user else "us"
        msg = f"The {broker} denies {who} the rights ({error.name()})."
        return BrokerError(msg, RIGHTS[error.code()].format(**_group(config)))
    if offered := OFFERED.search(text):
        if not offered[1]:
            msg = f"The {broker} asks for no user, and one is set."
            todo = "Unset SEMLOOP_KAFKA_USER, or name the broker's port for SASL."
            return BrokerError(msg, todo)
        wanted = config.get("sasl.mechanism")
        msg = f"The {broker} offers no {wanted}, only {offered[1].replace(',', ', ')}."
        return BrokerError(msg, "Set SEMLOOP_KAFKA_SASL_MECHANISM to one of these.")
    msg = f"The {broker} refuses the user {user!r}: wrong user or password."
    return BrokerError(msg, "Correct SEMLOOP_KAFKA_USER or SEMLOOP_KAFKA_PASSWORD.")


def unusable(error: KafkaError, config: Mapping[str, Any]) -> ConfigError:
    """Why a client cannot even be made: files that hold something else."""
    text = error.str()
    key = next((k for k in TLS_SETTINGS if f"{k} failed" in text), None)
    if key is None:
        return ConfigError(
            "The settings for Kafka cannot be used together.",
            "Check those that begin with SEMLOOP_KAFKA.",
        )
    path, variable = config[key], TLS_SETTINGS[key]
    if "key values mismatch" in text:
        msg = f"The key {path} is not that of {config['ssl.certificate.location']}."
        return ConfigError(msg, f"Correct {variable} or SEMLOOP_KAFKA_CERTIFICATE.")
    if key == "ssl.key.location" and _is_encrypted(path):
        has = "ssl.key.password" in config
        msg = f"The password of the key {path} is {'wrong' if has else 'missing'}."
        return ConfigError(msg, "Set SEMLOOP_KAFKA_KEY_PASSWORD to it.")
    kind = "private key" if key == "ssl.key.location" else "certificate"
    return ConfigError(
        f"{path} holds no {kind} that can be used.", f"Set {variable} to a PEM file."
    )


def without_place(text: str) -> str:
    """What happened, without where (the beginning) and how long it took (the end)."""
    return PLACE.sub("", text).partition(": ")[2].partition(" (after ")[0] or text


def _is_unverified(error: KafkaError) -> bool:
    return (
        error.code() == KafkaError._SSL and "certificate verify failed" in error.str()
    )


def _unverified(
    server: str | None, broker: str, config: Mapping[str, Any]
) -> BrokerError:
    """Python's ssl says what is wrong with a certificate; librdkafka does not."""
    ca = config.get("ssl.ca.location")
    fault = certificate_fault(server, ca) if server else None
    code, reason = fault or (0, "it cannot be verified")
    whose = f"The certificate of the {broker}"
    if code in UNKNOWN_CA:
        by = f"SEMLOOP_KAFKA_CA ({ca})" if ca else "a CA that this system knows"
        msg = f"{whose} is not signed by {by}."
        return BrokerError(msg, "Set SEMLOOP_KAFKA_CA to the CA's certificate (PEM).")
    if code in (OTHER_NAME, OTHER_ADDRESS):
        msg = f"{whose} is for another host name."
        todo = "Name the broker in SEMLOOP_KAFKA, and let it name itself, as there."
        return BrokerError(msg, todo)
    if code in (EXPIRED, NOT_YET_VALID):
        msg = f"{whose} is not valid now: {reason}."
        return BrokerError(msg, "Have it renewed; or this machine's clock is wrong.")
    return BrokerError(f"{whose} is refused: {reason}.", "Check SEMLOOP_KAFKA_CA.")


def _alerted(
    alert: str, number: int, broker: str, config: Mapping[str, Any]
) -> BrokerError:
    certificate = config.get("ssl.certificate.location")
    if number not in CERTIFICATE_ALERTS:
        msg = f"The {broker} breaks off the TLS handshake ({alert})."
        return BrokerError(msg, "Compare its TLS versions and ciphers with ours.")
    if certificate is None:
        msg = f"The {broker} asks for a client certificate, and none is set."
        todo = "Set SEMLOOP_KAFKA_CERTIFICATE and SEMLOOP_KAFKA_KEY."
        return BrokerError(msg, todo)
    msg = f"The {broker} refuses our certificate {certificate} ({alert})."
    return BrokerError(msg, "Have one issued by a CA that it trusts, not yet expired.")


def _group(config: Mapping[str, Any]) -> dict[str, str]:
    return {"group": config.get("group.id", "")}


def _is_encrypted(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return b"ENCRYPTED" in file.read()
    except OSError:
        return False
