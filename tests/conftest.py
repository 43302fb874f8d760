"""One broker and store per test run, a topic and lake per test, no outside settings."""

import fcntl
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
from hypothesis import is_hypothesis_test
from stamina.instrumentation import set_on_retry_hooks

from semloop import retry
from semloop.command.lancedb_import_shim import import_less_of_lancedb
from semloop.kafka.topic import Topic, TopicAdmin
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from tests.kafka.secure_broker import Secure, SecureBroker
from tests.support.examples import load_profile
from tests.support.fault_proxy import FaultProxy
from tests.support.lakes import FOLDER, a_topic, settings_on
from tests.support.missing_pandas import search_pandas_once
from tests.support.services import SERVICES, Broker, RealBroker, start_broker
from tests.support.shared import shared, stop_shared
from tests.support.store_proxy import StoreProxy
from tests.support.stores import RealStore, Store, start_store

REAL = "needs a real Apache Kafka: set SEMLOOP_TEST_SERVICES"
REAL_STORE = "needs a real S3 server: set SEMLOOP_TEST_SERVICES"

SERVERS = {"broker", "store", "own_broker", "own_store", "secure"}
# Parameters for which a fixture asks for a lake on the S3 server.
ON_S3 = {"s3", "s3_settings"}
TIERS = ("server", "process", "slow", "storm")
SLOWEST_FIRST = ("process", "storm", "slow", "server", "unit")
WAITING = {"process", "server"}

# These tests wait for each other, and that counts.
USUAL_PORT_S = 900


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples property tests try, before they are imported."""
    load_profile(storm=_storms(config))
    # Imports and collected items leave hardly any garbage: collecting it as often as
    # Python does takes an eighth of the time until the first test.
    gc.set_threshold(50_000, 20, 100)
    # As the command does, which takes a second less per process.
    import_less_of_lancedb()
    search_pandas_once()
    # Files that tests damage stay damaged.
    retry.DAMAGED_S = 0.0


def pytest_report_header() -> str:
    servers = (
        f"Apache Kafka and MinIO from {SERVICES}"
        if SERVICES
        else "embedded broker and moto"
    )
    return f"servers: {servers}"


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Let one worker import all that the tests import before the others do.

    In a new environment it compiles them; together, each worker would compile all.
    """
    if not hasattr(session.config, "workerinput"):
        return (yield)
    root = _root(session.config)
    with (root / "imports.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "imported").exists():
            yield
            (root / "imported").touch()
            return None
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Mark the tiers; skip storms unless selected, and tests that need missing servers.

    `server` marks the tests that use a broker or a store, `unit` those of no other
    tier. Modules of the tiers `process` and `slow` mark themselves. Property tests are
    storms, too, if those are selected.
    """
    storms = _storms(config)
    for item in items:
        if storms and _is_property(item):
            item.add_marker(pytest.mark.storm)
            item.add_marker(pytest.mark.timeout(3_600))
        if _uses_server(item):
            item.add_marker(pytest.mark.server)
        waits = "usual_port" in getattr(item, "fixturenames", ())
        if waits and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(USUAL_PORT_S))
        if not any(map(item.get_closest_marker, TIERS)):
            item.add_marker(pytest.mark.unit)
        if item.get_closest_marker("storm") and not storms:
            item.add_marker(
                pytest.mark.skip(reason="takes long; run it with `just test -m storm`")
            )
        if item.get_closest_marker("real_broker") and not SERVICES:
            item.add_marker(pytest.mark.skip(reason=REAL))
        if item.get_closest_marker("real_store") and not SERVICES:
            item.add_marker(pytest.mark.skip(reason=REAL_STORE))
    if hasattr(config, "workerinput"):
        _put_slow_files_first(items)


def _uses_server(item: pytest.Item) -> bool:
    if SERVERS.intersection(getattr(item, "fixturenames", ())):
        return True
    callspec = getattr(item, "callspec", None)
    parameters = callspec.params.values() if callspec else ()
    return any(isinstance(value, str) and value in ON_S3 for value in parameters)


def _is_property(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and is_hypothesis_test(item.obj)


def _storms(config: pytest.Config) -> bool:
    """Return True if this run selects storms."""
    selected: str = config.getoption("markexpr")
    return "storm" in selected and "not storm" not in selected


def pytest_collection_finish() -> None:
    """Keep the garbage collector from traversing what was imported and collected."""
    gc.collect()
    gc.freeze()


def _put_slow_files_first(items: list[pytest.Item]) -> None:
    """Sort the files by the slowest tier of their tests, and mix two kinds of files.

    A worker runs whole files, so a slow one at the end would run alone. Tests of
    processes and servers mostly wait and the others mostly compute: each kind alone
    would leave a core idle, or have all workers compete for it.
    """
    ranks: dict[Path, int] = {}
    for item in items:
        rank = min(
            n for n, tier in enumerate(SLOWEST_FIRST) if item.get_closest_marker(tier)
        )
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    waiting: list[Path] = []
    computing: list[Path] = []
    for path in sorted(ranks, key=lambda path: ranks[path]):
        tier = SLOWEST_FIRST[ranks[path]]
        (waiting if tier in WAITING else computing).append(path)
    places = {
        path: place / len(files)
        for files in (waiting, computing)
        for place, path in enumerate(files)
    }
    items.sort(key=lambda item: places[item.path])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the shared servers by pid, in the controlling process only."""
    if not hasattr(session.config, "workerinput"):
        stop_shared(_root(session.config))


def _root(config: pytest.Config) -> Path:
    """Return a folder that all workers of this test run share."""
    factory: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
    base = factory.getbasetemp()
    return base.parent if hasattr(config, "workerinput") else base


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("SEMLOOP_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def log_setup_restored() -> Iterator[None]:
    """Undo what a command or flow in this process set up for its logs."""
    yield
    structlog.reset_defaults()
    set_on_retry_hooks(None)


@pytest.fixture(scope="session")
def broker(pytestconfig: pytest.Config) -> Broker:
    """The broker of this test run."""
    return SimpleNamespace(**shared(_root(pytestconfig), "broker", start_broker))


@pytest.fixture(scope="session")
def store(pytestconfig: pytest.Config) -> Store:
    """The S3 server of this test run; `s3_settings` configures a lake on it."""
    return SimpleNamespace(**shared(_root(pytestconfig), "store", start_store))


@pytest.fixture(scope="session")
def secure(pytestconfig: pytest.Config) -> Secure:
    """A broker with a listener for each common security configuration."""
    return SimpleNamespace(**shared(_root(pytestconfig), "secure-broker", SecureBroker))


@pytest.fixture(scope="module")
def proxy(store: Store) -> Iterator[FaultProxy]:
    """A proxy in front of the S3 server, for faults that the tests of a module arm."""
    with FaultProxy(store.endpoint) as proxy:
        yield proxy


@pytest.fixture
def overwriting_endpoint(store: Store) -> Iterator[str]:
    """The test session's S3 server, behind a proxy that ignores `If-None-Match`."""
    with StoreProxy("tests.s3.overwriting_store", store.endpoint) as proxy:
        yield proxy.endpoint


@pytest.fixture
def own_broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealBroker]:
    """A real broker for one test, which may kill and `start` it.

    An indirect parameter is used as its properties.
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
    """A real S3 server for one test, which may kill and `start` it."""
    if not SERVICES:
        pytest.skip(REAL_STORE)
    store = RealStore(tmp_path_factory.mktemp("own-store"), SERVICES)
    yield store
    store.kill()


@pytest.fixture
def usual_port(pytestconfig: pytest.Config) -> Iterator[None]:
    """Exclude other tests of this run from the default port of a local stack."""
    with (_root(pytestconfig) / "usual-port.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def settings(broker: Broker, tmp_path: Path) -> Settings:
    """A lake and a topic for one test; the topic does not exist yet."""
    return load(
        {},
        lake=str(tmp_path / FOLDER),
        kafka=broker.address,
        topic=a_topic(),
    )


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """The folder of a lake for one test, which needs no broker; it does not exist yet."""
    return Storage(str(tmp_path / FOLDER))


@pytest.fixture
def s3_settings(
    broker: Broker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Like `settings`, with a lake on S3 and the `AWS_*` variables set."""
    return settings_on(store.endpoint, broker, monkeypatch)


@pytest.fixture
def topic(settings: Settings) -> Topic:
    """Create the test's topic with 4 partitions."""
    return TopicAdmin(settings).ensure()
