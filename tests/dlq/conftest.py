"""A lake with dead letters of a real topic, and the commands that work on them."""

import pytest

from semloop.settings import Settings
from tests.cli.helpers import Semloop
from tests.dlq.letters import Letters


@pytest.fixture
def letters(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Letters:
    """The settings of the test are those of the commands."""
    monkeypatch.setenv("SEMLOOP_LAKE", settings.lake)
    monkeypatch.setenv("SEMLOOP_KAFKA", str(settings.kafka))
    monkeypatch.setenv("SEMLOOP_TOPIC", settings.topic)
    return Letters(settings, Semloop(capsys))
