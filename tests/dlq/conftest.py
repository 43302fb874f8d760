"""A lake with dead letters of a real topic, and the commands that work on them."""

from pathlib import Path

import pytest

from semloop.settings import Settings, load
from tests.cli.helpers import Semloop, Writer
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


@pytest.fixture
def stored(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Letters:
    """Dead letters of a lake without a broker; `writer` writes them."""
    settings = load({}, lake=str(tmp_path / "lake"), kafka="127.0.0.1:1")
    monkeypatch.setenv("SEMLOOP_LAKE", settings.lake)
    monkeypatch.setenv("SEMLOOP_KAFKA", "127.0.0.1:1")
    return Letters(settings, Semloop(capsys), Writer(settings))
