"""A project folder with a lake, whose stack is stopped after the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.project import Project, stop_all


@pytest.fixture
def original(usual_port: None, tmp_path: Path) -> Iterator[Project]:
    """A project whose stack may use the default port; copies of it are stopped too."""
    (tmp_path / "original").mkdir()
    yield Project(tmp_path / "original")
    stop_all(tmp_path)
