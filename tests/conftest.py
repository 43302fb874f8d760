"""One broker and one store a run, a topic and a lake a test, no settings from outside."""

import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest

from semloop.kafka.topic import Topic, TopicAdmin
from semloop.settings import Settings, load
from tests.services import SERVICES, Broker, RealBroker, start_broker
from tests.shared import shared, stop_shared
from tests.stores import BUCKET, RealStore, Store, make_bucket, start_store, variables

# How long an example takes says something of the machine, not of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

REAL = "needs a real Apache Kafka: set SEMLOOP_TEST_SERVICES"
REAL_STORE = "needs a real S3 server: set SEMLOOP_TEST_SERVICES"


def pytest_report_header() -> str:
    servers = f"Apache Kafka and MinIO of {SERVICES}" if SERVICES else "embedded, moto"
    return f"servers: {servers}"


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Storms run only when they are asked for by name; some tests need real servers."""
    storms = "storm" in config.getoption("markexpr")
    for item in items:
        if item.get_closest_marker("storm") and not storms:
            item.add_marker(
                pytest.mark.skip(reason="long: `just test -m storm` runs it")
            )
        if item.get_closest_marker("real_broker") and not SERVICES:
            item.add_marker(pytest.mark.skip(reason=REAL))
        if item.get_closest_marker("real_store") and not SERVICES:
            item.add_marker(pytest.mark.skip(reason=REAL_STORE))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The process that controls the run ends its servers, by pid."""
    if not hasattr(session.config, "workerinput"):
        stop_shared(_root(session.config))


def _root(config: pytest.Config) -> Path:
    """A folder that all workers of this run have in common."""
    factory: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
    base = factory.getbasetemp()
    return base.parent if hasattr(config, "workerinput") else base


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("SEMLOOP_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def broker(pytestconfig: pytest.Config) -> Broker:
    """The broker of this run."""
    return SimpleNamespace(**shared(_root(pytestconfig), "broker", start_broker))


@pytest.fixture(scope="session")
def store(pytestconfig: pytest.Config) -> Store:
    """The S3 server of this run; `s3_settings` gives a lake there."""
    return SimpleNamespace(**shared(_root(pytestconfig), "store", start_store))


@pytest.fixture
def own_broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealBroker]:
    """A real broker of the test's own, to kill and `start` again.

    Parametrized indirectly it has these properties.
    """
    if not SERVICES:
        pytest.skip(REAL)
    properties = getattr(request, "param", "")
    folder = tmp_path_factory.mktemp("own-broker")
    broker = RealBroker(folder, SERVICES, properties)
    yield broker
    broker.kill()


@pytest.fixture
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    """A real S3 server of the test's own, to kill and `start` again."""
    if not SERVICES:
        pytest.skip(REAL_STORE)
    store = RealStore(tmp_path_factory.mktemp("own-store"), SERVICES)
    yield store
    store.kill()


@pytest.fixture
def usual_port(pytestconfig: pytest.Config) -> Iterator[None]:
    """No other test of this run has a local stack on the usual port meanwhile."""
    with (_root(pytestconfig) / "usual-port.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def settings(broker: Broker, tmp_path: Path) -> Settings:
    """A lake and a topic of the test's own; the topic is not made yet."""
    return load(
        {},
        lake=str(tmp_path / "la ke ü"),  # as folders of people are called
        kafka=broker.address,
        topic=a_topic(),
    )


@pytest.fixture
def s3_settings(
    broker: Broker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """As `settings`, with a lake on S3 and the `AWS_*` variables set."""
    return settings_on(store.endpoint, broker, monkeypatch)


def settings_on(
    endpoint: str, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Settings with a lake of the test's own at an S3 endpoint, such as a proxy's."""
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
    """A name that no other test uses."""
    return f"events-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def topic(settings: Settings) -> Topic:
    """The test's topic, made with 4 partitions."""
    return TopicAdmin(settings).ensure()
