"""One broker a run, a topic and a lake a test, and no settings from outside."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from semloop.settings import Settings, load
from sources.topic import Topic, TopicAdmin
from tests.services import SERVICES, Broker, start_broker


def pytest_report_header() -> str:
    return f"broker: {'Apache Kafka of ' + SERVICES if SERVICES else 'embedded'}"


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Storms run only when they are asked for by name; some tests need a real broker."""
    storms = "storm" in config.getoption("markexpr")
    for item in items:
        if item.get_closest_marker("storm") and not storms:
            item.add_marker(pytest.mark.skip(reason="long: `just storm` runs it"))
        if item.get_closest_marker("real_broker") and not SERVICES:
            reason = "needs a real Apache Kafka: set SEMLOOP_TEST_SERVICES"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("SEMLOOP_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker of this run."""
    broker = start_broker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.fixture
def settings(broker: Broker, tmp_path: Path) -> Settings:
    """A lake and a topic of the test's own; the topic is not made yet."""
    return load(
        {},
        lake=str(tmp_path / "la ke ü"),  # as folders of people are called
        kafka=broker.address,
        topic=f"events-{uuid.uuid4().hex[:12]}",
    )


@pytest.fixture
def topic(settings: Settings) -> Topic:
    """The test's topic, made with 4 partitions."""
    return TopicAdmin(settings).ensure()
