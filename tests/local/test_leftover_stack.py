"""`semloop doctor --fix` after a stack was killed."""

import json
import os
import signal

import pytest

from semloop.command.doctor.leftovers.stack import DRAFTS
from semloop.local.stack_file import STACK_FILE
from semloop.settings import load
from tests.doctor.leftover_checks import left_over
from tests.local.project import Project, gone
from tests.support.processes import start_in
from tests.support.services import wait_for

pytestmark = pytest.mark.process


@pytest.fixture
def project(original: Project) -> Project:
    """A project whose spool is its own."""
    spool = original.folder / "spool"
    (original.folder / "semloop.toml").write_text(f"spool = '{spool}'\n")
    return original


def doctor(project: Project, *arguments: str) -> list[dict[str, str]]:
    """Return what the check of the stack finds; the exit code depends on others too."""
    command = ("doctor", "--format", "json", *arguments)
    with start_in(project.folder, *command, SEMLOOP_EMBEDDER="hashing") as process:
        out, err = process.communicate(timeout=120)
    assert err == ""
    return [c for c in json.loads(out)["checks"] if c["check"] == "stack"]


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_processes_that_outlived_their_supervisor_are_stopped(
    project: Project,
) -> None:
    project.run("up")
    supervisor, *others = project.processes()
    project.import_events(20)
    (found,) = doctor(project, "--fix")
    assert (found["state"], project.runs()) == ("ok", True)
    copy = project.copy()
    kill(supervisor.pid)
    wait_for("the end of the supervisor", lambda: not project.local.is_locked())

    for arguments in ((), ("--fix", "--dry-run")):
        (found,) = doctor(project, *arguments)
        assert found["state"] == "warn"
        assert found["found"].startswith("3 processes (pid ")
        assert "`semloop doctor --fix` stops them" in found["todo"]
    # Its files name the same pids.
    assert "process" not in doctor(copy, "--fix")[0]["found"]
    assert all(process.find() for process in others)

    (found,) = doctor(project, "--fix")
    assert (found["state"], found["todo"]) == ("done", "")
    assert found["found"].startswith("stopped 3 processes (pid ")
    assert gone(others)
    assert project.events() == 20
    (found,) = doctor(project, "--fix")
    assert found["state"] == "ok"


def test_a_broker_with_records_that_are_not_in_the_lake_is_not_stopped(
    project: Project,
) -> None:
    project.run("up", "--broker-only")
    supervisor, broker = project.processes()
    project.import_events(3)
    kill(supervisor.pid)
    wait_for("the end of the supervisor", lambda: not project.local.is_locked())
    (found,) = doctor(project, "--fix")
    assert found["state"] == "warn"
    assert "3 records only in their broker would be lost" in found["found"]
    assert "semloop run archive --until-caught-up" in found["todo"]
    assert broker.find()
    project.run("run", "archive", "--until-caught-up")
    (found,) = doctor(project, "--fix")
    assert found["state"] == "done"
    assert gone([broker])
    assert project.events() == 3


def test_files_of_a_dead_stack_are_removed(project: Project) -> None:
    project.run("up", "--broker-only")
    copy = project.copy()
    kill(*(process.pid for process in project.processes()))
    wait_for("the end of the stack", lambda: not project.local.is_locked())
    # What a supervisor leaves that is killed while it replaces a file.
    (project.local.path / DRAFTS[0]).write_text("{")
    for each in (project, copy):
        before = set(each.local.path.iterdir())
        (found,) = doctor(each)
        assert found["found"].startswith(STACK_FILE)
        assert set(each.local.path.iterdir()) == before
        (found,) = doctor(each, "--fix")
        assert found["state"] == "done"
        left = before - set(each.local.path.iterdir())
        assert {path.name for path in left} <= {STACK_FILE, DRAFTS[0]}
        assert doctor(each, "--fix")[0]["state"] == "ok"
    assert "copy of" in copy.run("status")


def test_nothing_of_a_stack_that_starts_meanwhile_is_removed(
    project: Project,
) -> None:
    project.run("up", "--broker-only")
    kill(*(process.pid for process in project.processes()))
    wait_for("the end of the stack", lambda: not project.local.is_locked())
    found = left_over(load({}, lake=str(project.lake)), "stack")
    project.run("up", "--broker-only")
    assert found is not None
    assert found.fix is not None
    assert found.fix() == "nothing removed: a supervisor of this lake runs by now"
    assert project.runs()
    assert (project.local.path / STACK_FILE).exists()
