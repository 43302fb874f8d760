"""Commands in the process of the test, lakes for them, and a folder with a stack."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.helpers import Semloop, Writer
from tests.cli.shell import Shell, wait_for_end


@pytest.fixture
def semloop(capsys: pytest.CaptureFixture[str]) -> Semloop:
    """Runs commands in the process of the test."""
    return Semloop(capsys)


@pytest.fixture
def writer() -> Writer:
    """A writer of the lake that the settings of the test name."""
    return Writer()


@pytest.fixture
def shell(usual_port: None, tmp_path: Path) -> Iterator[Shell]:
    """A folder with a stack, on the default port; stopped after the test."""
    shell = Shell(tmp_path)
    yield shell
    # The supervisor first, because it would restart the others.
    while first := shell.processes()[:1]:
        first[0].kill()
        wait_for_end(first)
