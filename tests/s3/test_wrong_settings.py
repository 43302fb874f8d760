"""Two-line errors for a lake on S3 that is unreachable or unusable."""

import socket
from collections.abc import Iterator

import pytest

from semloop import Lake, layout, tables
from semloop.command.cli import health_report, main, status_report
from semloop.errors import ConfigError, LakeError, SemLoopError, StorageUnavailable
from semloop.lake import raw_views
from semloop.settings import Settings, load
from semloop.storage import object_store
from semloop.storage.location import Storage
from tests.support import processes
from tests.support.lakes import settings_on
from tests.support.services import Broker, free_port
from tests.support.stores import KEY, SECRET, RealStore

WRONG = "wr0ng-horse-battery"


def common_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> SemLoopError:
    """Return the error of writer and readers; check that all agree and hide secrets.

    Commands run in this process, since starting one takes most of the time.
    """
    with pytest.raises(SemLoopError) as lake_error:
        Lake(settings=settings)
    error = lake_error.value
    if not isinstance(error, ConfigError):
        with pytest.raises(type(error)) as writer_error:
            layout.bind(Storage.of(settings))
        assert str(writer_error.value) == str(error)
    assert status_report.status(settings)["lake"]["problem"] == str(error)
    check, *more = health_report.health(settings)["lake"]["checks"]
    assert (check["todo"], more) == (f"{error.what} {error.todo}", [])
    monkeypatch.setenv("SEMLOOP_LAKE", settings.lake)
    assert error.todo
    for secret in (SECRET, WRONG, KEY):
        assert secret not in str(error).replace(settings.lake, "")
    assert len(str(error).splitlines()) == 2
    return error


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.real_store
@pytest.mark.parametrize(
    ("variable", "value", "code", "todo"),
    [
        ("AWS_ACCESS_KEY_ID", WRONG, "InvalidAccessKeyId", "Check AWS_ACCESS_KEY_ID."),
        ("AWS_SECRET_ACCESS_KEY", WRONG, "SignatureDoesNotMatch", "Check AWS_SECRET_"),
        ("AWS_SESSION_TOKEN", WRONG, "InvalidTokenId", "Check AWS_SESSION_TOKEN."),
    ],
)
def test_wrong_keys_are_reported_in_two_lines(
    s3_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    code: str,
    todo: str,
) -> None:
    monkeypatch.setenv(variable, value)
    error = common_error(s3_settings, monkeypatch)
    endpoint = Storage.of(s3_settings).endpoint
    what = f"Cannot read _layout.json in {s3_settings.lake}: "
    what += f"the object store {endpoint} refuses: {code}."
    assert error.what == what
    assert error.todo.startswith(todo)


def test_a_missing_bucket_is_reported_in_two_lines(
    s3_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = s3_settings.replace(lake="s3://missing/bucket/x")
    error = common_error(settings, monkeypatch)
    assert error.what.startswith("Cannot read _layout.json in s3://missing/bucket/x: ")
    assert error.what.endswith(" refuses: NoSuchBucket.")
    assert error.todo == "Create the bucket, or set SEMLOOP_LAKE to an existing one."


def test_an_endpoint_that_refuses_connections_is_reported_in_two_lines(
    s3_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    error = common_error(s3_settings, monkeypatch)
    assert isinstance(error, StorageUnavailable)
    assert str(error) == (
        f"Cannot read _layout.json in {s3_settings.lake}: "
        f"the object store {endpoint} does not answer: Connection refused.\n"
        "Check AWS_ENDPOINT_URL and the network."
    )
    with pytest.raises(SystemExit) as exited:
        main(["sql", "FROM events"])
    assert exited.value.code == 1
    assert capsys.readouterr().err == f"{error}\n"


def test_an_endpoint_that_never_answers_times_out(
    s3_settings: Settings, monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", silent)
    monkeypatch.setattr(object_store, "ANSWER_S", 1)
    with pytest.raises(StorageUnavailable, match="does not answer: operation timed"):
        Lake(settings=s3_settings)
    with pytest.raises(StorageUnavailable, match="does not answer: operation timed"):
        Storage.of(s3_settings).create("x", b"")


@pytest.mark.real_store
def test_an_unavailable_store_is_reported_before_a_query_waits_for_it(
    own_store: RealStore, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_on(own_store.endpoint, broker, monkeypatch)
    layout.bind(Storage.of(settings))
    with Lake(settings=settings) as lake:
        assert lake.sql("FROM events").fetchall() == []
        own_store.kill()
        monkeypatch.setattr(raw_views, "CHECK_INTERVAL_S", 0.0)
        with pytest.raises(StorageUnavailable, match="does not answer"):
            lake.sql("FROM events")
        own_store.start()
        assert lake.sql("FROM events").fetchall() == []


def test_a_flow_without_a_store_retries_and_then_fails_with_two_lines(
    s3_settings: Settings, topic_on_s3: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    result = processes.run(
        s3_settings, "run", "archive", SEMLOOP_STORAGE_RETRY_S="0.5"
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.splitlines()[-2:] == [
        f"Cannot read _layout.json in {s3_settings.lake}: the object store {endpoint} "
        "does not answer: Connection refused (tried for 0.5 s)",
        "Check AWS_ENDPOINT_URL and the network.",
    ]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("AWS_ACCESS_KEY_ID", "", "A lake on S3 needs credentials: AWS_ACCESS_KEY_ID is not set."),
        ("AWS_SECRET_ACCESS_KEY", "", "A lake on S3 needs credentials: AWS_SECRET_ACCESS_KEY is not set."),
        ("AWS_ENDPOINT_URL", "minio:9000", "AWS_ENDPOINT_URL does not have the format https://host:port."),
        ("AWS_ENDPOINT_URL", f"http://a:{WRONG}@h", "AWS_ENDPOINT_URL does not have the format https://host:port."),
        ("AWS_CA_BUNDLE", "/no/where", "AWS_CA_BUNDLE: /no/where cannot be read: No such file or directory."),
        ("AWS_CA_BUNDLE", "/dev/null", "AWS_CA_BUNDLE: /dev/null contains no certificate in PEM format."),
    ],
    ids=["no key", "no secret", "endpoint without scheme", "endpoint with password", "no CA file", "CA file without PEM"],
)  # fmt: skip
def test_a_wrong_variable_is_reported_in_two_lines(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, what: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv(variable, value)
    # No broker listens there; this test needs none.
    settings = load({}, lake="s3://bucket/prefix", kafka="127.0.0.1:1")
    error = common_error(settings, monkeypatch)
    assert isinstance(error, ConfigError)
    assert error.what == what


@pytest.mark.parametrize(
    "lake",
    ["s3://", "s3:///", "s3://B/x", "s3://b", "s3://bucket/a//b", "s3://bucket/../b",
     *(f"s3://bucket/a{letter}b" for letter in "*?[]%#\\^|\n")],
)  # fmt: skip
def test_an_invalid_lake_url_is_rejected(lake: str) -> None:
    with pytest.raises(ConfigError) as error:
        Storage.of(load({}, lake=lake))
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize("lake", ["S3://bucket", "s3a://bucket/x", "gs://bucket"])
def test_another_url_scheme_is_rejected(lake: str) -> None:
    with pytest.raises(ConfigError, match="is neither a folder nor s3://"):
        load({}, lake=lake)


@pytest.mark.parametrize("lake", ["s3://bucket", "s3://bucket/", "s3://bucket//"])
def test_a_lake_may_be_a_whole_bucket(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert Storage.of(load({}, lake=lake)).root == "s3://bucket"


def test_a_store_that_ignores_if_none_match_is_rejected(
    s3_settings: Settings, overwriting_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", overwriting_endpoint)
    storage = Storage.of(s3_settings)
    for _ in range(2):  # the second time the lake is bound already
        with pytest.raises(LakeError) as error:
            layout.bind(storage)
        assert error.value.what == (
            f"The object store {overwriting_endpoint} ignores `If-None-Match`: writers "
            "would overwrite each other's commits."
        )
    assert layout.stored(storage) == tables.LAYOUT_VERSION
