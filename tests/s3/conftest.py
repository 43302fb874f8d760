import pytest

from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings


@pytest.fixture
def topic_on_s3(s3_settings: Settings) -> None:
    """Create the topic of `s3_settings`."""
    TopicAdmin(s3_settings).ensure()
