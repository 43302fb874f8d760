"""Names and settings that no other test of the session uses."""

import uuid

import pytest

from semloop.settings import Settings, load
from tests.support.services import Broker
from tests.support.stores import BUCKET, make_bucket, variables


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


def a_topic() -> str:
    """Return a topic name that no other test uses."""
    return f"events-{uuid.uuid4().hex[:12]}"
