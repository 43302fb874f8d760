"""Keys that expire while a flow or a reader runs: each renews them in time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from semloop import Lake
from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.flows.flow_runner import produce, running_flow
from tests.s3.end_to_end_check import check_end_to_end
from tests.s3.expiring_key_store import ExpiringKeyStore
from tests.semloop.recall.a_memory_lake import MemoryLake, a_message, closed
from tests.sinks.memory_builder import memory_rows, vector_table
from tests.sinks.memory_builder import stored as stored_memories
from tests.sinks.writer_builder import stored, write, writer
from tests.support.lakes import settings_on
from tests.support.services import Broker
from tests.support.stores import KEY, SECRET, Moto

ROLE = "arn:aws:iam::123456789012:role/semloop"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """A store that does not check signatures, even if the session uses a real one."""
    store = Moto(tmp_path_factory.mktemp("moto"))
    yield store
    store.kill()


@pytest.fixture
def key_store(moto: Moto) -> Iterator[ExpiringKeyStore]:
    with ExpiringKeyStore(moto.endpoint) as key_store:
        yield key_store


def web_identity(folder: Path) -> dict[str, str]:
    """Configure a role as Kubernetes does for a service account."""
    token = folder / "token"
    token.write_text("a token that moto believes")
    return {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": ROLE}


def profile(folder: Path) -> dict[str, str]:
    """Configure a role in a profile."""
    file = folder / "config"
    file.write_text(
        f"[profile deputy]\nrole_arn = {ROLE}\nsource_profile = own\nregion = eu-west-1\n"
        "[profile own]\naws_access_key_id = own\naws_secret_access_key = secret\n"
    )
    return {"AWS_CONFIG_FILE": str(file), "AWS_PROFILE": "deputy"}


@pytest.fixture(params=[web_identity, profile], ids=["web identity", "profile"])
def lake(
    request: pytest.FixtureRequest,
    moto: Moto,
    key_store: ExpiringKeyStore,
    broker: Broker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """A lake that uses the keys of a role; no key is set."""
    settings = settings_on(moto.endpoint, broker, monkeypatch)
    for name in (*KEYS, "AWS_REGION"):
        monkeypatch.delenv(name)
    variables = {"AWS_ENDPOINT_URL": key_store.endpoint, **request.param(tmp_path)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return settings.replace(embedder="hashing")


# The keys of every role come from one place, which the flow uses with each kind.
one_role = pytest.mark.parametrize(
    "lake", [web_identity], ids=["web identity"], indirect=True
)


def test_a_flow_renews_expired_keys(
    lake: Settings, key_store: ExpiringKeyStore
) -> None:
    TopicAdmin(lake).ensure()
    # No fence checks, so no request is in progress between two commits.
    with running_flow(lake, SEMLOOP_FENCE_CHECK_S="3600") as flow:
        for rows in (10, 20, 30):
            produce(lake, 10)
            flow.wait_until_stored(rows)
            key_store.replace_key()
        flow.stop()
    assert key_store.refused == 0
    with Lake(lake.lake) as opened:
        assert opened.sql("SELECT count(*) FROM events").fetchall() == [(30,)]


@one_role
def test_an_open_writer_renews_expired_keys(
    lake: Settings, key_store: ExpiringKeyStore
) -> None:
    tables = writer(lake)
    tables.take_over()
    for offset in range(0, 6, 2):
        write(tables, offset)
        key_store.replace_key()
        tables._main.check_fences()
        key_store.replace_key()
    assert key_store.refused == 0
    assert stored(lake) == [(0, 0), (0, 2), (0, 4)]


@one_role
def test_an_open_table_of_memories_renews_expired_keys(
    lake: Settings, key_store: ExpiringKeyStore
) -> None:
    storage = Storage.of(lake)
    table = vector_table(storage)
    for start in range(0, 30, 10):
        table.merge(memory_rows(range(start, start + 10)))
        key_store.replace_key()
    assert key_store.refused == 0
    assert len(stored_memories(storage)) == 30


@one_role
def test_a_reader_renews_expired_keys(
    lake: Settings, key_store: ExpiringKeyStore
) -> None:
    written = MemoryLake(lake)
    with written.open() as opened:
        for number in range(1, 4):
            name = f"trip {number}"
            written.remember(a_message(name, name))
            written.commit(closed(name, reward=0.5))
            write_one_event(lake, number)
            key_store.replace_key()
            assert stored_events(opened) == number
            key_store.replace_key()
            assert opened.recall("trip").num_rows == number
    assert key_store.refused == 0


def write_one_event(lake: Settings, number: int) -> None:
    tables = writer(lake)
    tables.take_over()
    write(tables, 2 * number)


def stored_events(lake: Lake) -> int:
    """Return the number of events; check that a query of memories works, too."""
    # DuckDB's Lance extension keeps reading the version that it opened first.
    assert lake.sql("SELECT count(*) FROM memories").fetchall() >= [(1,)]
    return int(lake.sql("SELECT count(*) FROM events").fetchall()[0][0])


def test_end_to_end_with_the_keys_of_a_profile(
    s3_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"[own]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n")
    for name in KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "own")
    check_end_to_end(s3_settings)
