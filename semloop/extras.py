"""Packages of the optional extras: where one is missing, the error names the extra."""

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from semloop.errors import MissingExtra


def need(module: str) -> Any:
    """A module of the extra `[query]`.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        msg = f"The package {module!r} is not installed."
        raise MissingExtra(msg, "Run: pip install 'semloop[query]'") from None


def extension(name: str) -> str:
    """Path of a DuckDB extension inside its wheel.

    The wheels' own `import_extension` would copy hundreds of megabytes into the home
    folder.
    """
    spec = find_spec(f"duckdb_extension_{name}")
    if spec is None or spec.origin is None:
        msg = f"The DuckDB extension {name!r} is not installed."
        raise MissingExtra(msg, "Run: pip install 'semloop[query]'")
    found = sorted(Path(spec.origin).parent.glob("extensions/*/*.duckdb_extension"))
    return str(found[-1])
