"""Names and settings that no other test of the session uses."""

import uuid
from pathlib import Path

import pytest

from semloop.settings import Settings, load
from tests.support.services import Broker
from tests.support.stores import BUCKET, make_bucket, variables

# With a space and a non-ASCII letter.
FOLDER = "la ke ü"


def settings_on(
    endpoint: str, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Configure a lake for one test at an S3 endpoint, for example a proxy."""
    for name, value in variables(endpoint).items():
        monkeypatch.setenv(name, value)
    make_bucket()
    return load(
        {},
        lake=f"s3://{BUCKET}/{uuid.uuid4().hex[:12]}",
        kafka=broker.address,
        topic=a_topic(),
        redaction_key="a key for the tests only",
    )


def local_settings(request: pytest.FixtureRequest) -> Settings:
    """Configure the lake of the fixture `settings`, without a broker."""
    folder: Path = request.getfixturevalue("tmp_path")
    return load({}, lake=str(folder / FOLDER))


def a_topic() -> str:
    """Return a topic name that no other test uses."""
    return f"events-{uuid.uuid4().hex[:12]}"
