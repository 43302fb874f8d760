"""`semloop notebook`: own copies of the notebooks, in marimo on the lake."""

import os
import signal
import tomllib
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from semloop.command.cli.notebook import PACKAGE, SHIPPED, copy_missing
from semloop.errors import ConfigError
from tests.support.processes import ROOT, start_in
from tests.support.services import free_port, wait_for

NAMES = sorted(path.name for path in (ROOT / "notebooks").glob("*.py"))


def test_a_folder_gets_the_notebooks_that_it_lacks(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    assert copy_missing(folder) == len(NAMES)
    (folder / NAMES[0]).write_text("# mine")
    (folder / NAMES[1]).unlink()
    assert copy_missing(folder) == 1
    assert (folder / NAMES[0]).read_text() == "# mine"
    assert sorted(os.listdir(folder)) == NAMES


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        copy_missing(tmp_path / "file" / "mine")


def test_the_wheel_has_the_notebooks_where_the_command_looks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {PACKAGE.parent / place for place in included.values()} <= set(SHIPPED)
    assert included.keys() == {"notebooks"}


@pytest.mark.process
def test_the_command_serves_them_until_it_is_stopped(tmp_path: Path) -> None:
    port = free_port()
    with start_in(
        tmp_path, "notebook", "mine", "--headless", "--port", str(port)
    ) as process:

        def answers() -> bool:
            try:
                with urlopen(f"http://127.0.0.1:{port}/health") as reply:
                    return bool(reply.status == 200)
            except (URLError, ConnectionError):
                assert process.poll() is None, process.communicate()
                return False

        try:
            wait_for("marimo", answers, 150)
        finally:
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
    assert sorted(path.name for path in (tmp_path / "mine").glob("*.py")) == NAMES
    assert f"the lake {tmp_path / '.semloop'}" in err
