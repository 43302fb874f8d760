"""Lakes for the tests of the library."""

import pytest

from semloop.settings import Settings
from tests.semloop.keyed_lakes import HIDDEN, holding
from tests.support.lakes import local_settings


@pytest.fixture(params=["folder", "s3"])
def keyed_lake(request: pytest.FixtureRequest) -> Settings:
    """A lake without any files, in a folder and on S3, with the key `HIDDEN`."""
    if request.param == "s3":
        return holding(request.getfixturevalue("s3_settings"), HIDDEN)
    return holding(local_settings(request), HIDDEN)
