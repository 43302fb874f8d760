"""The command `semloop doctor` as a whole."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from semloop.command.doctor import CHECKS, Finding, State, ok
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.runner import CheckRunner
from semloop.command.stack.state import LocalFolder, Stack
from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings, load, setting_source
from semloop.storage.location import Storage
from tests.cli.helpers import Semloop
from tests.doctor.run_checks import problems
from tests.flows.flow_runner import kafka_admin, produce, run_archive, running_flow
from tests.support import processes

# Nothing is listening there: ports below 1024 are for system services.
CLOSED = "127.0.0.1:1"
SECRET = "a password that must not be shown"


class Doctor:
    """Runs the command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._run = Semloop(capsys).run

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr."""
        return self._run("doctor", *arguments)

    def json(self) -> tuple[int, list[dict[str, str]]]:
        """Return exit code and findings."""
        code, out, err = self("--format", "json")
        found = json.loads(out)
        assert (list(found), err) == (["ok", "checks"], "")
        assert found["ok"] == (code == 0)
        for check in found["checks"]:
            assert list(check) == ["check", "state", "found", "todo"]
            assert bool(check["todo"]) == (check["state"] != "ok"), check
        return code, found["checks"]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:  # fmt: skip
    monkeypatch.setenv("SEMLOOP_KAFKA", CLOSED)
    monkeypatch.setenv("SEMLOOP_SPOOL", "spool")
    # Independent of the speed of this machine's disk.
    monkeypatch.setenv("SEMLOOP_COMMIT_INTERVAL_S", "60")
    return Doctor(capsys)


def test_doctor_without_lake_and_broker_says_what_to_do_and_creates_nothing(
    doctor: Doctor,
) -> None:
    code, checks = doctor.json()
    assert code == 1
    assert {c["check"] for c in checks} == set(CHECKS)
    (failed,) = [c for c in checks if c["state"] == "FAIL"]
    assert f"No Kafka broker answers at {CLOSED}" in failed["found"]
    assert "`semloop up`" in failed["todo"]
    skipped = {c["check"] for c in checks if c["state"] == "skip"}
    assert skipped >= {"topic", "lake", "commits", "resume point", "lag"}
    assert list(Path().iterdir()) == []
    code, out, err = doctor()
    assert (code, err) == (1, "")
    assert out.count("\nFAIL  ") == 1
    assert f"\nFAIL  broker: {failed['found']}\n      {failed['todo']}\n" in out
    assert out.splitlines()[-1].startswith("ok ")


OF_MACHINE = {"topic", "packages", "disk", "session files"}


def test_doctor_on_a_healthy_stack_reports_ok_and_changes_nothing(
    doctor: Doctor, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    TopicAdmin(settings).ensure()
    produce(settings, 5)
    run_archive(settings)
    settings = settings.replace(embedder="hashing")
    with running_flow(settings, "--until-caught-up", flow="memory") as flow:
        assert flow.wait_for_exit() == (0, [])
    for name in ("lake", "kafka", "topic", "embedder"):
        monkeypatch.setenv(f"SEMLOOP_{name.upper()}", str(settings.value(name)))
    storage = Storage.of(settings)
    before = sorted(Path(settings.lake).rglob("*"))
    versions = [storage.open(table).version() for table in ("events", "streams")]
    code, checks = doctor.json()
    assert code == 0
    found = [c["found"] for c in checks]
    assert "everything is in the lake" in found
    assert any("exactly one of 16 concurrent writers creates" in text for text in found)
    assert any(text.startswith("group 'semloop-archive' is 0 offsets behind") for text in found)  # fmt: skip
    # These depend on the broker, on installed extras and on the machine.
    rest = [c for c in checks if c["check"] not in OF_MACHINE]
    assert {c["state"] for c in rest} == {"ok"}
    assert sorted(Path(settings.lake).rglob("*")) == before
    assert [storage.open(t).version() for t in ("events", "streams")] == versions
    admin = kafka_admin(settings)
    groups = admin.list_consumer_groups().result(60)
    assert "semloop-doctor" not in {group.group_id for group in groups.valid}


def test_doctor_runs_the_other_checks_if_the_settings_are_invalid(
    doctor: Doctor,
) -> None:
    Path("semloop.toml").write_text("lak = 'x'\n")
    code, checks = doctor.json()
    assert code == 1
    first = checks[0]
    assert (first["check"], first["state"]) == ("settings", "FAIL")
    assert first["todo"] == "Did you mean 'lake'?"
    assert {c["state"] for c in checks if c["check"] in {"broker", "disk"}} == {"skip"}
    assert "ok" in {c["state"] for c in checks if c["check"] == "packages"}


def test_doctor_does_not_show_secrets(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLOOP_KAFKA_USER", "bob")
    monkeypatch.setenv("SEMLOOP_KAFKA_PASSWORD", SECRET)
    monkeypatch.setenv("SEMLOOP_REDACTION_KEY", SECRET)
    _, out, err = doctor()
    assert "sasl_ssl as 'bob'" in out
    assert SECRET not in out + err


def test_doctor_escapes_control_characters_in_names(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLOOP_LAKE", "la\x1b[31m\nke")
    _, out, _ = doctor()
    assert "\x1b" not in out
    assert "la\\u001b[31m ke" in out


@pytest.mark.parametrize(("line", "what"), [("--format csv", "'csv' is not one of"), ("x", "unexpected extra argument")])  # fmt: skip
def test_doctor_reports_wrong_arguments_in_two_lines(
    doctor: Doctor, line: str, what: str
) -> None:
    code, out, err = doctor(*line.split())
    assert (code, out, len(err.splitlines())) == (1, "", 2)
    assert what in err


def run(context: CheckContext) -> list[Any]:
    with CheckRunner(context) as runner:
        return runner.run("settings")


def test_settings_check_shows_the_origin_of_each_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("semloop.toml").write_text("topic = 'orders'\n")
    monkeypatch.setenv("SEMLOOP_KAFKA", CLOSED)
    lake, broker, topic = run(CheckContext())
    assert lake.found == f"lake {Path.cwd()}/.semloop (default)"
    assert broker.found == f"broker {CLOSED} (SEMLOOP_KAFKA), plaintext"
    assert topic.found == "topic 'orders' (semloop.toml)"
    monkeypatch.setenv("SEMLOOP_TOPIC", "other")
    assert setting_source("topic") == "SEMLOOP_TOPIC"


def test_settings_check_warns_about_a_redaction_key_that_is_too_short(monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("SEMLOOP_REDACTION_KEY", "short")
    *_, finding = run(CheckContext())
    assert (finding.state, "is shorter than 16" in finding.found) == (State.WARN, True)


def test_settings_check_uses_broker_and_topic_of_a_running_stack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = LocalFolder.of(load({}))
    folder.path.mkdir(parents=True)
    with folder.lock() as lock:
        assert lock is not None
        stack = Stack(1, 0.0, "", kafka="127.0.0.1:2", topic="orders", lake=lock.lake)
        folder.write(stack)
        context = CheckContext()
        _, broker, topic = run(context)
        assert broker.found.startswith(
            "broker 127.0.0.1:2 (from the running `semloop up`"
        )
        assert topic.found == "topic 'orders' (from the running `semloop up`)"
        assert context.settings is not None
        assert context.settings.topic == "orders"
        monkeypatch.setenv("SEMLOOP_KAFKA", CLOSED)
        monkeypatch.setenv("SEMLOOP_TOPIC", "mine")
        first, second = problems(run(CheckContext()))
        assert "127.0.0.1:2, but the current setting is 127.0.0.1:1" in first.found
        assert "topic 'orders', but the current setting is 'mine'" in second.found


def test_doctor_ends_silently_if_stdout_is_closed(settings: Settings) -> None:
    nowhere = settings.replace(kafka=CLOSED)
    command = [sys.executable, "-P", "-m", "semloop", "doctor"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command, env=processes.environment(nowhere), stdout=write,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


EXITING = threading.Event()


def interrupted(context: CheckContext) -> Iterator[Finding]:
    """A check during which the user presses Ctrl-C."""
    probe = Path("probe")
    probe.write_text("")
    try:
        main_thread = threading.main_thread().ident
        assert main_thread is not None
        signal.pthread_kill(main_thread, signal.SIGINT)
        EXITING.wait(60)
        yield ok("lake", "late")
    finally:
        probe.unlink()


def test_a_check_removes_its_files_after_ctrl_c(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exit_(self: CheckRunner, *error: Any) -> None:
        EXITING.set()
        original(self, *error)

    original = CheckRunner.__exit__
    monkeypatch.setattr(CheckRunner, "__exit__", exit_)
    monkeypatch.setitem(CHECKS, "lake", f"{__name__}:interrupted")
    code, out, err = doctor()
    assert (code, err) == (130, "")
    assert "topic" in out
    assert "disk" not in out
    assert list(Path().iterdir()) == []
