"""`semloop notebook`: the notebooks, opened in marimo on the lake of the settings."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from semloop.command.terminal.printing import note
from semloop.errors import ConfigError, MissingExtra
from semloop.extras import install_todo
from semloop.settings import PREFIX, load
from semloop.storage.location import Storage

PACKAGES = ("marimo", "altair", "polars")
PACKAGE = Path(__file__).parents[2]
# In a wheel they lie in the package, in a clone next to it.
SHIPPED = (PACKAGE.parent / "notebooks", PACKAGE / "notebooks")


def notebook(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where your copies are kept.")
    ] = Path("semloop-notebooks"),
    port: Annotated[
        int | None, typer.Option(help="Port of the server. Default: a free one.")
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="Print the address; open no browser.")
    ] = False,
) -> None:
    """Open notebooks on the lake: copies of your own, to be changed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        msg = f"The package {missing[0]!r} is not installed."
        raise MissingExtra(msg, install_todo("notebooks"))
    lake = Storage.of(load()).root
    copied = copy_missing(folder)
    note(f"{copied} new in {folder}; they show the lake {lake}. Ctrl-C ends them.")
    command = [sys.executable, "-m", "marimo", "edit", str(folder)]
    # marimo would ask PyPI for a newer version of itself.
    command += ["--skip-update-check", *(["--headless"] if headless else [])]
    command += ["--port", str(port)] if port is not None else []
    # In place of this process, so that signals reach it.
    os.execve(sys.executable, command, os.environ | {f"{PREFIX}LAKE": lake})  # noqa: S606


def copy_missing(folder: Path) -> int:
    """Copy the notebooks that a folder lacks; return their number.

    Raises:
        ConfigError: the folder cannot be written.
    """
    shipped = next(path for path in SHIPPED if (path / "01_explore_a_lake.py").exists())
    names = {path.name for path in shipped.glob("*.py")}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names -= set(os.listdir(folder))
        for name in names:
            shutil.copyfile(shipped / name, folder / name)
    except OSError as error:
        msg = f"{folder} cannot be written: {error.strerror}."
        raise ConfigError(
            msg, "Name a folder that can: semloop notebook FOLDER"
        ) from None
    return len(names)
