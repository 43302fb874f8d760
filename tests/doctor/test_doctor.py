"""The command as its users meet it."""

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

from semloop.command.cli import main
from semloop.command.doctor import CHECKS, Finding, State, ok
from semloop.command.doctor.context import Known
from semloop.command.doctor.examination import Examination
from semloop.command.stack.state import LocalFolder, Stack
from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings, load, setting_source
from semloop.storage.location import Storage
from tests import processes
from tests.doctor.examined import bad
from tests.flows.a_flow import a_flow, admin_of, archived, produce

# Nothing listens there: ports below 1024 are for services that nobody runs here.
NOBODY = "127.0.0.1:1"
SECRET = "a password that nobody may ever see"


class Doctor:
    """The command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        with pytest.raises(SystemExit) as left:
            main(["doctor", *arguments])
        out, err = self._capsys.readouterr()
        return int(left.value.code or 0), out, err

    def json(self) -> tuple[int, list[dict[str, str]]]:
        """Exit code and the checks."""
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
    monkeypatch.setenv("SEMLOOP_KAFKA", NOBODY)
    monkeypatch.setenv("SEMLOOP_SPOOL", "spool")
    # How fast a disk is says something of the machine.
    monkeypatch.setenv("SEMLOOP_COMMIT_INTERVAL_S", "60")
    return Doctor(capsys)


def test_where_nothing_is_it_says_what_to_do_and_makes_nothing(doctor: Doctor) -> None:
    code, checks = doctor.json()
    assert code == 1
    assert {c["check"] for c in checks} == set(CHECKS)
    (failed,) = [c for c in checks if c["state"] == "FAIL"]
    assert f"No Kafka broker answers at {NOBODY}" in failed["found"]
    assert "`semloop up`" in failed["todo"]
    skipped = {c["check"] for c in checks if c["state"] == "skip"}
    assert skipped >= {"topic", "lake", "commits", "resume point", "lag"}
    assert list(Path().iterdir()) == []
    code, out, err = doctor()
    assert (code, err) == (1, "")
    assert out.count("\nFAIL  ") == 1
    assert f"\nFAIL  broker: {failed['found']}\n      {failed['todo']}\n" in out
    assert out.splitlines()[-1].startswith("ok ")


def test_where_all_is_well_it_changes_nothing(
    doctor: Doctor, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    TopicAdmin(settings).ensure()
    produce(settings, 5)
    archived(settings)
    settings = settings.replace(embedder="hashing")
    with a_flow(settings, "--until-caught-up", flow="memory") as flow:
        assert flow.ends() == (0, [])
    for name in ("lake", "kafka", "topic", "embedder"):
        monkeypatch.setenv(f"SEMLOOP_{name.upper()}", str(settings.value(name)))
    storage = Storage.of(settings)
    before = sorted(Path(settings.lake).rglob("*"))
    versions = [storage.open(table).version() for table in ("events", "streams")]
    code, checks = doctor.json()
    assert code == 0
    told = [c["found"] for c in checks]
    assert "everything is in the lake" in told
    assert any("exactly one wins" in text for text in told)
    assert any(text.startswith("group 'semloop-archive' is 0 offsets behind") for text in told)  # fmt: skip
    # Not told by every broker, not installed, or not for a test to say.
    rest = [c for c in checks if c["check"] not in {"topic", "packages", "disk"}]
    assert {c["state"] for c in rest} == {"ok"}
    assert sorted(Path(settings.lake).rglob("*")) == before
    assert [storage.open(t).version() for t in ("events", "streams")] == versions
    admin = admin_of(settings)
    groups = admin.list_consumer_groups().result(5)
    assert "semloop-doctor" not in {group.group_id for group in groups.valid}


def test_settings_that_cannot_be_read_do_not_end_the_other_checks(
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


def test_secrets_are_not_shown(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMLOOP_KAFKA_USER", "bob")
    monkeypatch.setenv("SEMLOOP_KAFKA_PASSWORD", SECRET)
    monkeypatch.setenv("SEMLOOP_REDACTION_KEY", SECRET)
    _, out, err = doctor()
    assert "sasl_ssl as 'bob'" in out
    assert SECRET not in out + err


def test_a_name_cannot_steer_the_terminal(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLOOP_LAKE", "la\x1b[31m\nke")
    _, out, _ = doctor()
    assert "\x1b" not in out
    assert "la\\u001b[31m ke" in out


@pytest.mark.parametrize(("line", "what"), [("--format csv", "'csv' is not one of"), ("x", "unexpected extra argument")])  # fmt: skip
def test_wrong_use_is_told_in_two_lines(doctor: Doctor, line: str, what: str) -> None:
    code, out, err = doctor(*line.split())
    assert (code, out, len(err.splitlines())) == (1, "", 2)
    assert what in err


def run(known: Known) -> list[Any]:
    with Examination(known) as examination:
        return examination.run("settings")


def test_where_settings_come_from_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("semloop.toml").write_text("topic = 'orders'\n")
    monkeypatch.setenv("SEMLOOP_KAFKA", NOBODY)
    lake, broker, topic = run(Known())
    assert lake.found == f"lake {Path.cwd()}/.semloop (default)"
    assert broker.found == f"broker {NOBODY} (SEMLOOP_KAFKA), plaintext"
    assert topic.found == "topic 'orders' (semloop.toml)"
    monkeypatch.setenv("SEMLOOP_TOPIC", "other")
    assert setting_source("topic") == "SEMLOOP_TOPIC"


def test_a_key_that_no_flow_would_take_is_told(monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("SEMLOOP_REDACTION_KEY", "short")
    *_, finding = run(Known())
    assert (finding.state, "is shorter than 16" in finding.found) == (State.WARN, True)


def test_the_broker_and_topic_of_a_running_stack_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = LocalFolder.of(load({}))
    folder.path.mkdir(parents=True)
    folder.write(Stack(1, 0.0, "now", kafka="127.0.0.1:2", topic="orders"))
    with folder.lock():
        known = Known()
        _, broker, topic = run(known)
        assert broker.found.startswith(
            "broker 127.0.0.1:2 (of the running `semloop up`"
        )
        assert topic.found == "topic 'orders' (of the running `semloop up`)"
        assert known.settings is not None
        assert known.settings.topic == "orders"
        monkeypatch.setenv("SEMLOOP_KAFKA", NOBODY)
        monkeypatch.setenv("SEMLOOP_TOPIC", "mine")
        first, second = bad(run(Known()))
        assert "127.0.0.1:2, but here 127.0.0.1:1 is set" in first.found
        assert "topic 'orders', not 'mine'" in second.found


def test_a_closed_pipe_ends_it_without_a_word(settings: Settings) -> None:
    nowhere = settings.replace(kafka=NOBODY)
    command = [sys.executable, "-P", "-m", "semloop", "doctor"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command, env=processes.environment(nowhere), stdout=write,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


LEAVING = threading.Event()


def interrupted(known: Known) -> Iterator[Finding]:
    """A check during which the user presses Ctrl-C."""
    probe = Path("probe")
    probe.write_text("")
    try:
        main_thread = threading.main_thread().ident
        assert main_thread is not None
        signal.pthread_kill(main_thread, signal.SIGINT)
        LEAVING.wait(10)
        yield ok("lake", "late")
    finally:
        probe.unlink()


def test_after_ctrl_c_a_check_removes_what_it_made(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(self: Examination, *error: Any) -> None:
        LEAVING.set()
        wait(self, *error)

    wait = Examination.__exit__
    monkeypatch.setattr(Examination, "__exit__", leave)
    monkeypatch.setitem(CHECKS, "lake", f"{__name__}:interrupted")
    code, out, err = doctor()
    assert (code, err) == (130, "")
    assert "topic" in out
    assert "disk" not in out
    assert list(Path().iterdir()) == []
