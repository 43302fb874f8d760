"""Lakes for the tests of the library."""

import pytest

from semloop.settings import Settings
from tests.semloop.keyed_lakes import HIDDEN, holding


@pytest.fixture(params=["folder", "s3"])
def keyed_lake(request: pytest.FixtureRequest) -> Settings:
    """A lake without any files, in a folder and on S3, with the key `HIDDEN`."""
    name = "settings" if request.param == "folder" else "s3_settings"
    return holding(request.getfixturevalue(name), HIDDEN)
