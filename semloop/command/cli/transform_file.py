"""Loads the function `transform` of a Python file that a user gives."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semloop.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = "def transform(record): ... return record"


def load_transform(path: Path) -> "Callable[[Any], Any]":
    """Run the file, and return its function `transform`.

    Raises:
        ConfigError: there is no such file, it raises, or it has no such function.
    """
    todo = f"It is a Python file with a function: {EXAMPLE}"
    spec = importlib.util.spec_from_file_location("semloop_transform", path)
    if spec is None or spec.loader is None or not path.is_file():
        msg = f"{path} is not a Python file (*.py)."
        raise ConfigError(msg, todo)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        msg = f"{path} cannot be loaded: {type(error).__name__}: {error}."
        raise ConfigError(msg, todo) from error
    found = getattr(module, "transform", None)
    if not callable(found):
        msg = f"{path} has no function `transform`."
        raise ConfigError(msg, todo)
    function: Callable[[Any], Any] = found
    return function
