"""Keys that end while a flow or a reader runs: each gets new ones before that."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from semloop import Lake
from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.conftest import settings_on
from tests.flows.a_flow import a_flow, produce
from tests.s3.token_store import TokenStore
from tests.s3.works import works
from tests.semloop.recall.a_memory_lake import MemoryLake, a_message, closed
from tests.services import Broker
from tests.sinks.a_writer import stored, write, writer
from tests.sinks.some_memories import a_table, some_memories
from tests.sinks.some_memories import stored as stored_memories
from tests.stores import KEY, SECRET, Moto

ROLE = "arn:aws:iam::123456789012:role/semloop"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """A store that checks no signatures, whatever the run's store is."""
    store = Moto(tmp_path_factory.mktemp("moto"))
    yield store
    store.kill()


@pytest.fixture
def tokens(moto: Moto) -> Iterator[TokenStore]:
    with TokenStore(moto.endpoint) as tokens:
        yield tokens


def web_identity(folder: Path) -> dict[str, str]:
    """As Kubernetes sets it for a service account with a role."""
    token = folder / "token"
    token.write_text("a token that moto believes")
    return {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": ROLE}


def profile(folder: Path) -> dict[str, str]:
    """As people configure a role."""
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
    tokens: TokenStore,
    broker: Broker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """A lake whose keys are those of a role; no key is set."""
    settings = settings_on(moto.endpoint, broker, monkeypatch)
    for name in (*KEYS, "AWS_REGION"):
        monkeypatch.delenv(name)
    variables = {"AWS_ENDPOINT_URL": tokens.endpoint, **request.param(tmp_path)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return settings.replace(embedder="hashing")


def test_a_flow_outlives_its_keys(lake: Settings, tokens: TokenStore) -> None:
    TopicAdmin(lake).ensure()
    # Between two commits it sends no request that could be under way.
    with a_flow(lake, SEMLOOP_FENCE_CHECK_S="3600") as flow:
        for rows in (10, 20, 30):
            produce(lake, 10)
            flow.wait_until_stored(rows)
            tokens.replace_key()
        flow.stop()
    assert tokens.refused == 0
    with Lake(lake.lake) as opened:
        assert opened.sql("SELECT count(*) FROM events").fetchall() == [(30,)]


def test_an_open_writer_outlives_its_keys(lake: Settings, tokens: TokenStore) -> None:
    tables = writer(lake)
    tables.take_over()
    for offset in range(0, 6, 2):
        write(tables, offset)
        tokens.replace_key()
        tables._main.look()
        tokens.replace_key()
    assert tokens.refused == 0
    assert stored(lake) == [(0, 0), (0, 2), (0, 4)]


def test_an_open_table_of_memories_outlives_its_keys(
    lake: Settings, tokens: TokenStore
) -> None:
    storage = Storage.of(lake)
    table = a_table(storage)
    for start in range(0, 30, 10):
        table.merge(some_memories(range(start, start + 10)))
        tokens.replace_key()
    assert tokens.refused == 0
    assert len(stored_memories(storage)) == 30


def test_a_reader_outlives_its_keys(lake: Settings, tokens: TokenStore) -> None:
    written = MemoryLake(lake)
    with written.open() as opened:
        for number in range(1, 4):
            name = f"trip {number}"
            written.remember(a_message(name, name))
            written.commit(closed(name, reward=0.5))
            write_one_event(lake, number)
            tokens.replace_key()
            assert stored_events(opened) == number
            tokens.replace_key()
            assert opened.recall("trip").num_rows == number
    assert tokens.refused == 0


def write_one_event(lake: Settings, number: int) -> None:
    tables = writer(lake)
    tables.take_over()
    write(tables, 2 * number)


def stored_events(lake: Lake) -> int:
    """Rows of the view; a query over memories must answer, too."""
    # DuckDB's extension for Lance stays at the version that it opened first.
    assert lake.sql("SELECT count(*) FROM memories").fetchall() >= [(1,)]
    return int(lake.sql("SELECT count(*) FROM events").fetchall()[0][0])


def test_everything_works_with_the_keys_of_a_profile(
    s3_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"[own]\naws_access_key_id={KEY}\naws_secret_access_key={SECRET}\n")
    for name in KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "own")
    works(s3_settings)
