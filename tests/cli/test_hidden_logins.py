"""No command shows a login or key that is part of a setting."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from semloop import Agent
from semloop.errors import ConfigError, SemLoopError
from semloop.kafka.clients import address
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from tests.cli.helpers import Semloop
from tests.support.builders import an_event
from tests.support.commands import execute
from tests.support.processes import start_in
from tests.support.services import free_port

WORD = "tr0ub4dor"
COMMANDS = (
    ("up",), ("down",), ("health",), ("status",), ("import", "events.jsonl"),
    ("sql", "SELECT 1"), ("recall", "a text"),
    ("show", "s-1"), ("dlq", "ls"), ("maintain", "index"),
    ("maintain", "reindex"), ("doctor",),
)  # fmt: skip
ADDRESSES = {
    "SEMLOOP_KAFKA": (
        f"ann:{WORD}@127.0.0.1:9092",
        f"{WORD}@127.0.0.1:9092",
        f"kafka://ann:{WORD}@127.0.0.1:9092",
        f"ann:pass,{WORD}@127.0.0.1",
        f"127.0.0.1:9092?password={WORD}",
    ),
    "SEMLOOP_LAKE": (
        f"s3://AKIA:{WORD}/x@bucket/lake",
        f"s3:/AKIA:{WORD}@bucket/lake",
        f"s3://bucket/lake?secret={WORD}",
        f"gs://ann:{WORD}@bucket",
    ),
}
# Other settings of a command that may hold a login, and the commands that use them.
OTHERS = {
    "broker": (
        {"SEMLOOP_KAFKA": "ann:{word}@127.0.0.1:{port}"},
        (("run", "archive"), ("--debug", "run", "memory"), ("up",), ("tail",)),
    ),
    "broker's query": (
        {"SEMLOOP_KAFKA": "127.0.0.1:{port}?password={word}"},
        (("run", "archive"), ("--debug", "up")),
    ),
    "lake's query": (
        {"SEMLOOP_LAKE": "s3://bucket/lake?secret={word}"},
        (("run", "archive"), ("--debug", "run", "memory")),
    ),
    "embedder URL": (
        {"SEMLOOP_EMBEDDER": "endpoint", "SEMLOOP_EMBEDDER_MODEL": "m",
         "SEMLOOP_EMBEDDER_URL": "http://ann:{word}@127.0.0.1:{port}/v1?key={word}"},
        (("maintain", "reindex"), ("doctor",)),
    ),
    "invalid embedder URL": (
        {"SEMLOOP_EMBEDDER": "endpoint", "SEMLOOP_EMBEDDER_MODEL": "m",
         "SEMLOOP_EMBEDDER_URL": "ann:{word}@127.0.0.1:{port}"},
        (("maintain", "reindex"),),
    ),
    "model": (
        {"SEMLOOP_EMBEDDER": "sentence-transformers",
         "SEMLOOP_EMBEDDER_MODEL": "https://ann:{word}@127.0.0.1:{port}/model"},
        (("maintain", "reindex"), ("doctor",)),
    ),
    "proxy": (
        {"SEMLOOP_EMBEDDER": "endpoint", "SEMLOOP_EMBEDDER_MODEL": "m",
         "SEMLOOP_EMBEDDER_URL": "http://192.0.2.1/v1",
         "HTTP_PROXY": "ftp://ann:{word}@127.0.0.1:{port}"},
        (("--debug", "maintain", "reindex"),),
    ),
    "private key": (
        {"SEMLOOP_KAFKA": "127.0.0.1:{port}", "SEMLOOP_KAFKA_CERTIFICATE": "c.pem",
         "SEMLOOP_KAFKA_KEY": "-----BEGIN PRIVATE KEY-----\n{word}\n-----END"},
        (("run", "archive"), ("doctor",)),
    ),
    "store": (
        {"SEMLOOP_LAKE": "s3://bucket/lake", "AWS_ENDPOINT_URL": "http://a:{word}@h",
         "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "{word}"},
        (("sql", "SELECT 1"), ("doctor",), ("run", "archive")),
    ),
    "issuer of keys": (
        {"SEMLOOP_LAKE": "s3://bucket/lake", "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
         "AWS_WEB_IDENTITY_TOKEN_FILE": "c.pem", "AWS_REGION": "eu-west-1",
         "AWS_ENDPOINT_URL_STS": "http://a:{word}@127.0.0.1:{port}?key={word}"},
        (("sql", "SELECT 1"),),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "value"),
    [(name, value) for name, values in ADDRESSES.items() for value in values],
)
def test_no_command_shows_the_login_in_an_address(
    semloop: Semloop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
    value: str,
) -> None:
    (tmp_path / "events.jsonl").write_text(json.dumps(an_event()) + "\n")
    monkeypatch.setenv(variable, value)
    for command in COMMANDS:
        _, out, err = semloop.run(*command)
        assert out + err, command
        assert WORD not in out + err, command
    with caplog.at_level(logging.DEBUG), pytest.raises(SemLoopError) as error:
        connect()
    assert WORD not in str(error.value) + caplog.text
    # Nor is it the name of a file.
    assert not [path for path in tmp_path.rglob("*") if WORD in str(path)]


def connect() -> None:
    """Do what programs do with the settings, up to the first refusal."""
    Agent("ann", strict=True)
    address(load())
    Storage.of(load())


@pytest.mark.process
@pytest.mark.parametrize("setting", OTHERS)
def test_no_command_shows_a_login_in_another_setting(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], setting: str
) -> None:
    (tmp_path / "c.pem").write_text("no certificate")
    given, commands = OTHERS[setting]
    port = free_port()
    environ = {k: v.format(word=WORD, port=port) for k, v in given.items()}
    for command in commands:
        shown = output_of(tmp_path, command, environ)
        # Native libraries write to the descriptors.
        shown += "".join(capfd.readouterr())
        assert shown, command
        assert WORD not in shown, command


def output_of(folder: Path, command: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return what a command prints, as a process if it changes its own process."""
    if not {"run", "--debug", "up"} & set(command):
        return "".join(execute(environ, *command)[1:])
    with start_in(folder, *command, **environ) as process:
        try:
            return "".join(process.communicate(timeout=60))
        finally:
            process.kill()


def test_settings_that_were_not_loaded_are_checked_too() -> None:
    with pytest.raises(ConfigError) as error:
        address(Settings(kafka=f"ann:{WORD}@127.0.0.1:9092"))
    assert error.value.what == (
        "Setting 'kafka' contains a login, which is not part of host:port."
    )
    assert error.value.todo == (
        "Set SEMLOOP_KAFKA_USER and SEMLOOP_KAFKA_PASSWORD instead."
    )
