"""The demo's folder and settings are separate from those of the user."""

from pathlib import Path

import pytest

from semloop.command.demo.folder import MARKER, NAME, own_folder, private_settings
from semloop.command.stack.broker import free_address
from semloop.command.stack.state import LocalFolder
from semloop.errors import ConfigError, LakeError
from semloop.settings import Settings
from semloop.settings.model import setting_fields
from tests.support.commands import execute
from tests.support.services import free_port


def test_a_demo_removes_only_the_tables_of_the_previous_demo() -> None:
    with own_folder() as folder:
        (folder / "events" / "_delta_log").mkdir(parents=True)
        (folder / "_local").mkdir()
        (folder / "my notes.txt").write_text("mine")
        (folder / "mine").mkdir()
    with own_folder() as folder:
        assert {entry.name for entry in folder.iterdir()} == {
            MARKER, "my notes.txt", "mine",
        }  # fmt: skip


@pytest.mark.parametrize("kind", ["file", "folder", "link", "foreign marker"])
def test_a_demo_refuses_a_path_that_no_demo_created_and_does_not_change_it(
    kind: str,
) -> None:
    path = Path(NAME)
    match kind:
        case "file":
            path.write_text("mine")
        case "folder":
            (path / "events" / "_delta_log").mkdir(parents=True)
        case "link":
            with own_folder() as folder:
                folder.rename("elsewhere")
            path.symlink_to("elsewhere")
        case _:
            path.mkdir()
            (path / MARKER).write_text("mine")
    before = sorted(Path.cwd().rglob("*"))
    with (
        pytest.raises(LakeError, match="was not created by `semloop demo`"),
        own_folder(),
    ):
        pass
    assert sorted(Path.cwd().rglob("*")) == before


def test_a_demo_runs_after_one_that_was_killed_at_its_start() -> None:
    Path(NAME).mkdir()
    with own_folder():
        pass
    Path(NAME, MARKER).write_text("")
    with own_folder():
        pass


def test_a_second_demo_in_the_same_folder_is_refused() -> None:
    with (
        own_folder(),
        pytest.raises(LakeError, match="Another demo is running"),
        own_folder(),
    ):
        pass
    with own_folder():
        pass


def test_a_demo_is_refused_while_a_stack_runs_for_its_lake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("semloop.command.demo.folder.SHUTDOWN_S", 0.0)
    with own_folder() as folder:
        local = folder / "_local"
        local.mkdir()
    with LocalFolder(local).lock() as locked:
        assert locked
        with (
            pytest.raises(LakeError, match="`semloop up` is running for"),
            own_folder(),
        ):
            pass
    assert local.exists()


def test_a_folder_that_cannot_be_created_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir("/proc")
    with (
        pytest.raises(LakeError, match="cannot be created or used") as error,
        own_folder(),
    ):
        pass
    assert "in a writable folder" in error.value.todo


def test_the_demo_does_not_use_the_settings_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    user_settings = {
        "SEMLOOP_LAKE": "gs://nowhere", "SEMLOOP_KAFKA": "kafka.example.com:9092",
        "SEMLOOP_KAFKA_SECURITY": "nonsense", "SEMLOOP_KAFKA_CA": "/no/such/file",
        "SEMLOOP_TOPIC": "user-topic", "SEMLOOP_SAMPLE": "not JSON",
        "SEMLOOP_SPOOL": "/user/spool", "SEMLOOP_METRICS_PORT": "9100",
        "SEMLOOP_DEDUPE_IDS": "0", "SEMLOOP_EVENT_BYTES_MAX": "10",
    }  # fmt: skip
    for name, value in user_settings.items():
        monkeypatch.setenv(name, value)
    found = private_settings(tmp_path / NAME)
    own = {"lake", "spool", "agent_flush_s"}
    for name in setting_fields().keys() - own:
        assert found.value(name) == Settings().value(name), name
    assert found.lake == str(tmp_path / NAME)
    assert Path(found.agent.spool).is_relative_to(tmp_path / NAME)


def test_settings_that_the_demo_does_not_override_must_be_valid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEMLOOP_COMMIT_ROWS", "many")
    with pytest.raises(ConfigError, match="'commit_rows'"):
        private_settings(tmp_path)


def test_the_demo_does_not_use_the_default_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    default = f"127.0.0.1:{free_port()}"
    monkeypatch.setattr("semloop.command.stack.broker.DEFAULT_ADDRESS", default)
    assert free_address() == default
    assert free_address(private=True) != default


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--events", "0"], "greater than or equal to 1"),
        (["--events", "1000001"], "less than or equal to 1000000"),
        (["--events", "many"], "valid integer"),
        (["now"], "unexpected extra argument"),
    ],
    ids=["zero", "too large", "not a number", "an argument"],
)
def test_wrong_arguments_are_reported_and_nothing_is_created(
    arguments: list[str], message: str
) -> None:
    code, out, err = execute({}, "demo", *arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert "semloop demo --help" in err
    assert not Path(NAME).exists()
