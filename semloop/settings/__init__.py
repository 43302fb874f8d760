"""The settings of SemLoop: sections with defaults, and how they are read."""

from semloop.settings.loading import (
    CONFIG_FILE,
    PREFIX,
    aws_variables,
    load,
    process_number,
    setting_source,
)
from semloop.settings.model import (
    DEFAULT_LAKE,
    DEFAULT_TOPIC,
    LOCAL_FOLDER,
    Settings,
)
from semloop.settings.secret import Secret

__all__ = [
    "CONFIG_FILE",
    "DEFAULT_LAKE",
    "DEFAULT_TOPIC",
    "LOCAL_FOLDER",
    "PREFIX",
    "Secret",
    "Settings",
    "aws_variables",
    "load",
    "process_number",
    "setting_source",
]
