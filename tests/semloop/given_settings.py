"""A settings file, and the error for a setting that is refused."""

from pathlib import Path

import pytest

from semloop.errors import ConfigError
from semloop.settings import CONFIG_FILE, load

# A secret that no output may contain.
HIDDEN = "tr0ub4dor&3-horse"


def write(folder: Path, text: str) -> None:
    """Write a settings file into a folder."""
    (folder / CONFIG_FILE).write_text(text, "utf-8")


def refused(environ: dict[str, str] | None = None, **overrides: object) -> ConfigError:
    """Load settings that must be refused with two lines; return the error."""
    with pytest.raises(ConfigError) as error:
        load(environ or {}, **overrides)  # type: ignore[arg-type]
    assert "\n" not in error.value.what
    assert "\n" not in error.value.todo
    return error.value
