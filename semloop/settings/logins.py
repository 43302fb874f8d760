"""Refuses logins in addresses, which are shown in errors, logs and file names."""

import re

from semloop.errors import ConfigError
from semloop.masking import masked
from semloop.settings.model import Settings

# Of a URL, also with one slash too few.
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+")


def refuse_logins(settings: Settings) -> None:
    """Refuse a user name or password in the addresses of the broker and the lake.

    The error quotes nothing, since any part of the value may be the password.

    Raises:
        ConfigError: an address has one.
    """
    kafka, lake = settings.kafka or "", settings.lake
    if "@" in kafka or masked(kafka) != kafka:
        msg = "Setting 'kafka' contains a login, which is not part of host:port."
        todo = "Set SEMLOOP_KAFKA_USER and SEMLOOP_KAFKA_PASSWORD instead."
        raise ConfigError(msg, todo)
    # The name of an object may contain an @.
    if SCHEME.match(lake) and masked(lake) != lake:
        msg = (
            "Setting 'lake' contains a login, which is not part of s3://bucket/prefix."
        )
        todo = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead."
        raise ConfigError(msg, todo)
