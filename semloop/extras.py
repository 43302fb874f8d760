"""Packages of the optional extras, and how to install the ones that are missing."""

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from semloop.errors import MissingExtra

DISTRIBUTION = "semloop-lake"
FLOWS_DISTRIBUTION = "semloop-lake-flows"
# Extras that include the second distribution, which a clone has in this folder.
WITH_FLOWS = {"all", "flows"}
FLOWS_FOLDER = "./packaging/flows"


def need(module: str) -> Any:
    """Import a module of the extra `[query]`.

    Raises:
        MissingExtra: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        msg = f"The package {module!r} is not installed."
        raise MissingExtra(msg, install_todo("query")) from None


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
        raise MissingExtra(msg, install_todo("query"))
    found = sorted(Path(spec.origin).parent.glob("extensions/*/*.duckdb_extension"))
    return str(found[-1])


def install_todo(extra: str, lead: str = "Run") -> str:
    """Return the instruction that installs an extra, such as `Run: pip install ...`.

    The command installs from where this package came: from PyPI, or from the folder of
    a clone, whose `constraints.txt` pins the versions.

    Args:
        extra: the name of the extra; empty for the base package.
        lead: the words before the command.
    """
    suffix = f"[{extra}]" if extra else ""
    folder, editable = _installed_from()
    if folder is None:
        target = f"{DISTRIBUTION}{suffix}"
        return f"{lead}: pip install {_quoted(target)}"
    option = "-e " if editable else ""
    flows = f" {option}{FLOWS_FOLDER}" if extra in WITH_FLOWS else ""
    command = f"pip install -c constraints.txt {option}{_quoted(f'.{suffix}')}{flows}"
    where = "" if folder == Path.cwd() else f" in {folder}"
    return f"{lead}{where}: {command}"


def _installed_from() -> tuple[Path | None, bool]:
    """Return the folder that pip installed from, if any, and whether as editable.

    pip records it in `direct_url.json`:
    https://packaging.python.org/en/latest/specifications/direct-url/
    """
    import json
    from importlib import metadata
    from urllib.parse import unquote, urlparse

    try:
        text = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return Path(__file__).parents[1], False  # It runs from the folder of a clone.
    origin = json.loads(text) if text else {}
    folder = Path(unquote(urlparse(origin.get("url", "")).path))
    if "dir_info" not in origin or not (folder / "constraints.txt").is_file():
        return None, False
    return folder, bool(origin["dir_info"].get("editable"))


def _quoted(target: str) -> str:
    # Shells expand square brackets.
    return f"'{target}'" if "[" in target else target
