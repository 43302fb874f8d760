"""The demo's folder and settings: nobody else's are used, replaced or disturbed."""

import os
from pathlib import Path

import pytest

from semloop.command.demo.folder import MARKER, NAME, own_folder, private_settings
from semloop.command.stack.broker import free_address
from semloop.command.stack.state import LocalFolder
from semloop.errors import ConfigError, LakeError
from semloop.kafka.clients import DEFAULT_ADDRESS
from semloop.settings import Settings
from semloop.settings.model import places
from tests.demo.shell import Shell
from tests.services import free_port


def test_a_demo_replaces_the_tables_of_the_one_before_and_nothing_else() -> None:
    with own_folder() as folder:
        (folder / "events" / "_delta_log").mkdir(parents=True)
        (folder / "_local").mkdir()
        (folder / "my notes.txt").write_text("mine")
        (folder / "mine").mkdir()
    with own_folder() as folder:
        assert {entry.name for entry in folder.iterdir()} == {
            MARKER, "my notes.txt", "mine",
        }  # fmt: skip


@pytest.mark.parametrize("kind", ["file", "folder", "link", "marker of others"])
def test_what_no_demo_made_is_refused_and_left_as_it_is(kind: str) -> None:
    place = Path(NAME)
    match kind:
        case "file":
            place.write_text("mine")
        case "folder":
            (place / "events" / "_delta_log").mkdir(parents=True)
        case "link":
            with own_folder() as folder:
                folder.rename("elsewhere")
            place.symlink_to("elsewhere")
        case _:
            place.mkdir()
            (place / MARKER).write_text("mine")
    before = sorted(Path.cwd().rglob("*"))
    with pytest.raises(LakeError, match="was not made by `semloop demo`"), own_folder():
        pass
    assert sorted(Path.cwd().rglob("*")) == before


def test_a_demo_that_was_killed_at_its_start_is_no_hindrance() -> None:
    Path(NAME).mkdir()
    with own_folder():
        pass
    Path(NAME, MARKER).write_text("")
    with own_folder():
        pass


def test_two_demos_in_one_folder_are_refused() -> None:
    with (
        own_folder(),
        pytest.raises(LakeError, match="Another demo runs"),
        own_folder(),
    ):
        pass
    with own_folder():
        pass


def test_a_stack_that_runs_for_the_lake_of_the_demo_is_not_disturbed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("semloop.command.demo.folder.ENDS_S", 0.0)
    with own_folder() as folder:
        local = folder / "_local"
        local.mkdir()
    with LocalFolder(local).lock() as locked:
        assert locked
        with pytest.raises(LakeError, match="`semloop up` runs for"), own_folder():
            pass
    assert local.exists()


def test_a_folder_that_cannot_be_made_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir("/proc")
    with (
        pytest.raises(LakeError, match="cannot be made or used") as error,
        own_folder(),
    ):
        pass
    assert "where you may write" in error.value.todo


def test_settings_of_the_user_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    yours = {
        "SEMLOOP_LAKE": "gs://nowhere", "SEMLOOP_KAFKA": "kafka.example.com:9092",
        "SEMLOOP_KAFKA_SECURITY": "nonsense", "SEMLOOP_KAFKA_CA": "/no/such/file",
        "SEMLOOP_TOPIC": "yours", "SEMLOOP_SAMPLE": "not JSON",
        "SEMLOOP_SPOOL": "/yours", "SEMLOOP_METRICS_PORT": "9100",
        "SEMLOOP_DEDUPE_IDS": "0", "SEMLOOP_EVENT_BYTES_MAX": "10",
    }  # fmt: skip
    for name, value in yours.items():
        monkeypatch.setenv(name, value)
    found = private_settings(tmp_path / NAME)
    own = {"lake", "spool", "agent_flush_s"}
    for name in places().keys() - own:
        assert found.value(name) == Settings().value(name), name
    assert found.lake == str(tmp_path / NAME)
    assert Path(found.agent.spool).is_relative_to(tmp_path / NAME)


def test_other_settings_of_the_user_must_be_valid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEMLOOP_COMMIT_ROWS", "many")
    with pytest.raises(ConfigError, match="'commit_rows'"):
        private_settings(tmp_path)


def test_the_usual_port_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = f"127.0.0.1:{free_port()}"
    monkeypatch.setattr("semloop.command.stack.broker.DEFAULT_ADDRESS", usual)
    assert free_address() == usual
    assert free_address(private=True) != usual


def test_a_demo_beside_other_settings_and_lakes_touches_none_of_them(
    shell: Shell,
) -> None:
    spool = shell.folder / "spool"
    (shell.folder / "semloop.toml").write_text(
        f'kafka = "127.0.0.1:1"\nlake = "mine"\ntopic = "mine"\nspool = "{spool}"\n'
        'metrics_port = 1\nredaction_key = "a key of the user, long enough"\n'
        "dedupe_ids = 0\nevent_bytes_max = 10\n[sample]\n'*' = 0.0\n"
    )
    out, _ = shell.run(
        "demo", "--events", "1", SEMLOOP_KAFKA="127.0.0.1:1", SEMLOOP_LAKE="s3://mine",
        SEMLOOP_SAMPLE='{"*": 0}', SEMLOOP_KAFKA_SECURITY="sasl_ssl",
    )  # fmt: skip
    assert "nothing lost, nothing duplicated" in out
    assert f"Kafka at {DEFAULT_ADDRESS}" not in out
    assert sorted(os.listdir(shell.folder)) == ["semloop-demo", "semloop.toml"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--events", "0"], "greater than or equal to 1"),
        (["--events", "1000001"], "less than or equal to 1000000"),
        (["--events", "many"], "valid integer"),
        (["now"], "unexpected extra argument"),
    ],
    ids=["none", "too many", "no number", "an argument"],
)
def test_what_is_asked_wrongly_is_told_and_nothing_is_made(
    shell: Shell, arguments: list[str], said: str
) -> None:
    out, err = shell.run("demo", *arguments, code=1)
    assert said in err
    assert "semloop demo --help" in err
    assert out == ""
    assert not shell.lake.exists()
