"""A folder to run the demo in, and one completed demo for tests that only read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.shell import DEMO, Shell


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    for process in shell.running():
        process.kill()


@pytest.fixture(scope="package")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shell, str, str]]:
    """A shell, and stdout and stderr of the demo."""
    shell = Shell(tmp_path_factory.mktemp("shown"))
    yield shell, *shell.run(*DEMO)
    assert shell.running() == []
