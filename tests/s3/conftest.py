import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings
from tests.support.stores import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def topic_on_s3(s3_settings: Settings) -> None:
    """Create the topic of `s3_settings`."""
    TopicAdmin(s3_settings).ensure()


@pytest.fixture
def overwriting_endpoint(store: Store) -> Iterator[str]:
    """The test session's S3 server, behind a proxy that ignores `If-None-Match`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.s3.overwriting_store", store.endpoint],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.kill()
    process.communicate()
