"""Files of the lake: atomic writes, and the broker's address."""

import json
from pathlib import Path

import msgspec
import pytest

from semloop.errors import ConfigError, LakeError
from semloop.kafka.clients import DEFAULT_ADDRESS, address, client_config
from semloop.kafka.clients import producer_config as producer_config_of
from semloop.local.identity import LakeIdentity
from semloop.local.stack_file import STACK_FILE
from semloop.settings import LOCAL_FOLDER, load
from semloop.sql_text import quoted
from semloop.storage.duckdb_access import init_statements
from semloop.storage.location import Storage
from semloop.storage.object_store import duckdb_secret, options_of
from tests.sinks.sink_contract import full_disk

HIDDEN = "tr0ub4dor&3-horse-battery"
S3 = {"SEMLOOP_LAKE": "s3://bucket/prefix"}
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": HIDDEN}


def test_only_a_local_lake_has_a_folder_for_local_files(
    tmp_path: Path,
) -> None:
    assert Storage(str(tmp_path)).local_folder() == tmp_path / LOCAL_FOLDER
    with pytest.raises(LakeError, match="is not a local lake"):
        Storage("s3://bucket/prefix").local_folder()
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError, match="cannot be written: Not a directory"):
        Storage(str(tmp_path / "file")).local_folder()


def test_put_writes_the_whole_file(tmp_path: Path) -> None:
    Storage(str(tmp_path)).put("table/date=2026-01-01/part", b"\x00all of it")
    assert (tmp_path / "table/date=2026-01-01/part").read_bytes() == b"\x00all of it"


def test_put_leaves_no_partial_file_on_a_full_disk(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    with full_disk(64), pytest.raises(OSError, match="File too large"):
        storage.put("table/part", b"x" * 1000)
    assert list((tmp_path / "table").iterdir()) == []
    storage.put("table/part", b"x" * 1000)


def test_put_never_overwrites_an_existing_file(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.put("table/part", b"first")
    with pytest.raises(FileExistsError):
        storage.put("table/part", b"second")
    assert (tmp_path / "table/part").read_bytes() == b"first"


def test_a_table_without_log_entries_does_not_exist_yet(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    assert not storage.has("events")
    log = tmp_path / "events" / "_delta_log"
    log.mkdir(parents=True)
    (log / "_last_checkpoint").write_text("{}")
    assert not storage.has("events")
    (log / f"{0:020}.json").write_text("{}")
    assert storage.has("events")


def test_options_of_the_object_store_are_hidden_and_make_puts_conditional() -> None:
    options = options_of(
        {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": HIDDEN,
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
            "AWS_DEFAULT_REGION": "eu-north-1",
            "HOME": "/root",
        }
    )
    assert options["aws_conditional_put"] == "etag"
    assert options["aws_allow_http"] == "true"
    assert options["aws_region"] == "eu-north-1"
    assert "home" not in options
    storage = Storage("s3://bucket", options)
    assert HIDDEN not in repr(storage)
    assert HIDDEN not in "".join(init_statements(storage))
    assert HIDDEN in duckdb_secret(storage.root, options)


def test_quotes_in_sql_literals_are_escaped() -> None:
    assert quoted("it's; DROP") == "'it''s; DROP'"


def test_the_broker_address_is_from_the_settings_the_local_stack_or_the_default(
    tmp_path: Path,
) -> None:
    assert address(load({})) == DEFAULT_ADDRESS
    folder = tmp_path / ".semloop" / LOCAL_FOLDER
    folder.mkdir(parents=True)
    lake = msgspec.to_builtins(LakeIdentity.new(folder))
    stack = {"kafka": "127.0.0.1:7777", "topic": "t", "lake": lake}
    (folder / STACK_FILE).write_text(json.dumps(stack))
    assert address(load({})) == "127.0.0.1:7777"
    assert address(load({"SEMLOOP_KAFKA": "a:1,b:2"})) == "a:1,b:2"
    assert address(load(S3)) == DEFAULT_ADDRESS


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"kafka": 7}', "{}"], ids=lambda text: f"stack file {text}"
)
def test_a_stack_file_without_an_address_is_ignored(tmp_path: Path, text: str) -> None:
    folder = tmp_path / ".semloop" / LOCAL_FOLDER
    folder.mkdir(parents=True)
    (folder / STACK_FILE).write_text(text)
    assert address(load({})) == DEFAULT_ADDRESS


@pytest.mark.parametrize("server", ["host", "host:", ":9092", "host:x", "host:65536"])
def test_an_invalid_broker_address_is_refused(server: str) -> None:
    with pytest.raises(ConfigError) as error:
        address(load({"SEMLOOP_KAFKA": f"good:9092, {server}"}))
    assert error.value.what == f"Setting 'kafka': {server!r} is not host:port."
    assert error.value.todo == "Set SEMLOOP_KAFKA to host:port[,host:port]."


def test_producers_are_configured_without_loss_duplicates_and_reordering() -> None:
    settings = load({"SEMLOOP_KAFKA": "[::1]:9092"})
    config = producer_config_of(settings)
    assert config.items() >= client_config(settings).items()
    assert config["bootstrap.servers"] == "[::1]:9092"
    assert config["enable.idempotence"] is True
    assert config["partitioner"] == "murmur2_random"
