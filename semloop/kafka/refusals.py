"""Translates librdkafka's errors about refused connections into our error texts.

librdkafka reports a refusal only through `error_cb`; requests made in the meantime time
out. Errors while a broker stops or starts are not refusals: librdkafka retries by
itself.
"""

import re
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError

from semloop.errors import BrokerError, ConfigError
from semloop.kafka.probe import certificate_fault

# `ssl://host:9093/bootstrap: what happened (after 3ms in state AUTH_REQ)`
LOCATION = re.compile(r"^(?:\w+://)?(\S+:\d+)/")
ALERT = re.compile(r"alert ([a-z ]+): SSL alert number (\d+)")
OFFERED = re.compile(r"supported mechanisms: *([A-Z0-9,_-]*)")
# TLS alerts (RFC 8446, 6.2) by which a broker refuses the certificate of a client.
CERTIFICATE_ALERTS = {42, 43, 44, 45, 46, 48, 49, 116}
# librdkafka's local errors inside an error text that otherwise looks like a refusal:
# the connection was lost while it was being established.
CONNECTION_LOST = ("Local: ", "Disconnected", "timed out")
# OpenSSL's X509_V_ERR_*.
EXPIRED, NOT_YET_VALID, WRONG_HOST, WRONG_ADDRESS = 10, 9, 62, 64
UNKNOWN_CA = {2, 18, 19, 20, 21}
TLS_SETTINGS = {
    "ssl.ca.location": "SEMLOOP_KAFKA_CA",
    "ssl.certificate.location": "SEMLOOP_KAFKA_CERTIFICATE",
    "ssl.key.location": "SEMLOOP_KAFKA_KEY",
}
TOPIC_PERMISSIONS = (
    "Grant Describe and Read on the topic; `import` also needs Write, and Create for a"
    " new topic."
)
PERMISSIONS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: TOPIC_PERMISSIONS,
    # The first error that a producer without write permission receives.
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: TOPIC_PERMISSIONS,
    KafkaError.GROUP_AUTHORIZATION_FAILED: "Grant Read on the group {group!r}.",
}


class ConnectionErrors:
    """An `error_cb` that stores the first refusal and the last message.

    librdkafka calls it from any call that polls the client: `consume`, `poll`, `flush`.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Start without errors.

        Args:
            config: of the client, for names in error texts.
        """
        self._config = public(config)
        self._refusal: KafkaError | None = None
        self.last_message = ""

    def __call__(self, error: KafkaError) -> None:
        """Record a connection error."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            return
        self.last_message = without_location(error.str())
        if self._refusal is None and is_refusal(error):
            self._refusal = error

    @property
    def refused(self) -> bool:
        """True if a broker has refused the connection."""
        return self._refusal is not None

    def clear(self) -> None:
        """Discard recorded errors; a persistent refusal is reported again."""
        self._refusal, self.last_message = None, ""

    def refusal(self) -> BrokerError | None:
        """Return the recorded refusal with its reason, else None."""
        if self._refusal is None:
            return None
        return refusal(self._refusal, self._config)

    def raise_refusal(self) -> None:
        """Raise the recorded refusal, if any.

        Raises:
            BrokerError: with the reason; retrying does not help.
        """
        if error := self.refusal():
            raise error


def public(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a client's configuration without its passwords."""
    return {key: value for key, value in config.items() if "password" not in key}


def is_refusal(error: KafkaError) -> bool:
    """Return True if an error persists until credentials or settings change."""
    code, text = error.code(), error.str()
    if code in PERMISSIONS or code == KafkaError.SASL_AUTHENTICATION_FAILED:
        return True
    if code == KafkaError._AUTHENTICATION:
        return not any(reason in text for reason in CONNECTION_LOST)
    return bool(ALERT.search(text)) or _is_unverified(error)


def refusal(error: KafkaError, config: Mapping[str, Any]) -> BrokerError:
    """Return the error for a refusal, with its reason and what to do.

    Args:
        error: one for which `is_refusal` is true, or a response that denies permission.
        config: of the client.
    """
    text = error.str()
    location = LOCATION.match(text)
    broker = f"broker {location[1] if location else config['bootstrap.servers']}"
    user = config.get("sasl.username")
    if _is_unverified(error):
        return _unverified(location[1] if location else None, broker, config)
    if alert := ALERT.search(text):
        return _alerted(alert[1], int(alert[2]), broker, config)
    if error.code() in PERMISSIONS:
        client = f"the user {user!r}" if user else "this client"
        msg = f"The {broker} denies {client} permission ({error.name()})."
        return BrokerError(msg, PERMISSIONS[error.code()].format(**_group(config)))
    if offered := OFFERED.search(text):
        if not offered[1]:
            msg = f"The {broker} does not use SASL, but a user is set."
            todo = "Unset SEMLOOP_KAFKA_USER, or set SEMLOOP_KAFKA to the SASL port."
            return BrokerError(msg, todo)
        mechanism, offers = config.get("sasl.mechanism"), offered[1].replace(",", ", ")
        msg = f"The {broker} does not support {mechanism}, only {offers}."
        return BrokerError(msg, "Set SEMLOOP_KAFKA_SASL_MECHANISM to one of these.")
    msg = f"The {broker} rejects the user {user!r}: wrong user or password."
    return BrokerError(msg, "Correct SEMLOOP_KAFKA_USER or SEMLOOP_KAFKA_PASSWORD.")


def unusable(error: KafkaError, config: Mapping[str, Any]) -> ConfigError:
    """Return the error for a client that cannot be created from these settings."""
    text = error.str()
    key = next((k for k in TLS_SETTINGS if f"{k} failed" in text), None)
    if key is None:
        return ConfigError(
            "The Kafka settings are inconsistent.",
            "Check the settings that begin with SEMLOOP_KAFKA.",
        )
    path, variable = config[key], TLS_SETTINGS[key]
    if "key values mismatch" in text:
        certificate = config["ssl.certificate.location"]
        msg = f"The key {path} does not match the certificate {certificate}."
        return ConfigError(msg, f"Correct {variable} or SEMLOOP_KAFKA_CERTIFICATE.")
    if key == "ssl.key.location" and _is_encrypted(path):
        has = "ssl.key.password" in config
        msg = f"The password of the key {path} is {'wrong' if has else 'missing'}."
        return ConfigError(msg, "Set SEMLOOP_KAFKA_KEY_PASSWORD to the key's password.")
    kind = "private key" if key == "ssl.key.location" else "certificate"
    return ConfigError(
        f"{path} does not contain a valid {kind}.", f"Set {variable} to a PEM file."
    )


def without_location(text: str) -> str:
    """Strip the location at the start and the duration at the end of a message."""
    return LOCATION.sub("", text).partition(": ")[2].partition(" (after ")[0] or text


def _is_unverified(error: KafkaError) -> bool:
    return (
        error.code() == KafkaError._SSL and "certificate verify failed" in error.str()
    )


def _unverified(
    server: str | None, broker: str, config: Mapping[str, Any]
) -> BrokerError:
    """Use Python's ssl to find the reason, which librdkafka does not report."""
    ca = config.get("ssl.ca.location")
    fault = certificate_fault(server, ca) if server else None
    code, reason = fault or (0, "verification failed")
    whose = f"The certificate of the {broker}"
    if code in UNKNOWN_CA:
        by = f"SEMLOOP_KAFKA_CA ({ca})" if ca else "a CA that this system trusts"
        msg = f"{whose} is not signed by {by}."
        return BrokerError(msg, "Set SEMLOOP_KAFKA_CA to the CA's certificate (PEM).")
    if code in (WRONG_HOST, WRONG_ADDRESS):
        msg = f"{whose} is for another host name."
        todo = "Use the certificate's host name in SEMLOOP_KAFKA and in the broker's "
        todo += "advertised.listeners."
        return BrokerError(msg, todo)
    if code in (EXPIRED, NOT_YET_VALID):
        msg = f"{whose} is not valid now: {reason}."
        return BrokerError(msg, "Renew it, or correct the clock of this machine.")
    return BrokerError(f"{whose} is not valid: {reason}.", "Check SEMLOOP_KAFKA_CA.")


def _alerted(
    alert: str, number: int, broker: str, config: Mapping[str, Any]
) -> BrokerError:
    certificate = config.get("ssl.certificate.location")
    if number not in CERTIFICATE_ALERTS:
        msg = f"The {broker} aborts the TLS handshake ({alert})."
        todo = (
            "Compare the broker's TLS versions and ciphers with those of this client."
        )
        return BrokerError(msg, todo)
    if certificate is None:
        msg = f"The {broker} requires a client certificate, but none is set."
        todo = "Set SEMLOOP_KAFKA_CERTIFICATE and SEMLOOP_KAFKA_KEY."
        return BrokerError(msg, todo)
    msg = f"The {broker} rejects the client certificate {certificate} ({alert})."
    return BrokerError(msg, "Use an unexpired certificate from a CA that it trusts.")


def _group(config: Mapping[str, Any]) -> dict[str, str]:
    return {"group": config.get("group.id", "")}


def _is_encrypted(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return b"ENCRYPTED" in file.read()
    except OSError:
        return False
