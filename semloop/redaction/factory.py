"""Builds a redactor from the settings."""

from semloop.redaction.choice import Choice
from semloop.redaction.redactor import Redactor
from semloop.settings import Secret
from semloop.settings.sections import RedactionSettings


def redactor_of(key: Secret, settings: RedactionSettings) -> Redactor:
    """Return the redactor with the key of the lake and the rules of the settings.

    Raises:
        ConfigError: an own key name, pattern or country is not valid.
    """
    choice = Choice(
        settings.level, settings.allow, settings.countries, settings.private_ips
    )
    return Redactor(key, settings.keys, settings.patterns, choice)
