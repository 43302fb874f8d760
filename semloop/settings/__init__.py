"""The settings of SemLoop: sections with defaults, and how they are read."""

from semloop.settings.loading import CONFIG_FILE, PREFIX, aws_variables, load, origin
from semloop.settings.model import Settings
from semloop.settings.secret import Secret

__all__ = [
    "CONFIG_FILE",
    "PREFIX",
    "Secret",
    "Settings",
    "aws_variables",
    "load",
    "origin",
]
