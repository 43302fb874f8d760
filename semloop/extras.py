"""Loads packages of the optional extras; errors name the extra to install."""

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from semloop.errors import MissingExtra


def need(module: str) -> Any:
    """Import a module of the extra `[query]`.

    Raises:
        MissingExtra: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        msg = f"The package {module!r} is not installed."
        raise MissingExtra(msg, "Run: pip install 'semloop[query]'") from None


def extension(name: str) -> str:
    """Return the path of a DuckDB extension inside its wheel.

    The wheel's own `import_extension` would copy hundreds of megabytes into the home
    folder.

    Raises:
        MissingExtra: the extension is not installed.
    """
    spec = find_spec(f"duckdb_extension_{name}")
    if spec is None or spec.origin is None:
        msg = f"The DuckDB extension {name!r} is not installed."
        raise MissingExtra(msg, "Run: pip install 'semloop[query]'")
    found = sorted(Path(spec.origin).parent.glob("extensions/*/*.duckdb_extension"))
    return str(found[-1])
