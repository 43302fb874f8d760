"""`semloop doctor --fix` after a stack was killed."""

import os
import signal

import pytest

from semloop.command.doctor import Finding, State
from semloop.command.doctor.fixes import fixed
from semloop.command.doctor.leftovers.stack import DRAFTS
from semloop.local.stack_file import STACK_FILE
from semloop.settings import load
from tests.doctor.run_checks import findings_of
from tests.local.project import Project, gone
from tests.support.services import wait_for

pytestmark = pytest.mark.process


@pytest.fixture
def project(original: Project) -> Project:
    """A project whose spool is its own."""
    spool = original.folder / "spool"
    (original.folder / "semloop.toml").write_text(f"spool = '{spool}'\n")
    return original


def doctor(project: Project, *, fix: bool = False) -> Finding:
    """Return what the check of the stack finds, or does."""
    settings = load({}, lake=str(project.lake))
    (found,) = findings_of(settings, "stack")
    return fixed(found) if fix else found


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_processes_that_outlived_their_supervisor_are_stopped(
    project: Project,
) -> None:
    project.run("up")
    supervisor, *others = project.processes()
    project.import_events(20)
    found = doctor(project, fix=True)
    assert (found.state, project.runs()) == (State.OK, True)
    copy = project.copy()
    kill(supervisor.pid)
    wait_for("the end of the supervisor", lambda: not project.local.is_locked())

    found = doctor(project)
    assert found.state is State.WARN
    assert all(str(process.pid) in found.found for process in others)
    assert "`semloop doctor --fix` stops them" in found.todo
    # Its files name the same pids.
    assert "process" not in doctor(copy, fix=True).found
    assert all(process.find() for process in others)

    found = doctor(project, fix=True)
    assert (found.state, found.todo) == (State.DONE, "")
    assert found.found.startswith("stopped ")
    assert gone(others)
    found = doctor(project, fix=True)
    assert found.state is State.OK
    # `archive` may have been stopped before its first commit.
    assert project.events_after_a_start() == 20


def test_records_that_only_the_broker_has_outlive_it(project: Project) -> None:
    project.run("up", "--broker-only")
    supervisor, broker = project.processes()
    project.import_events(3)
    kill(supervisor.pid)
    wait_for("the end of the supervisor", lambda: not project.local.is_locked())
    assert doctor(project, fix=True).state is State.DONE
    assert gone([broker])
    assert project.events_after_a_start() == 3


def test_files_of_a_dead_stack_are_removed(project: Project) -> None:
    project.run("up", "--broker-only")
    copy = project.copy()
    kill(*(process.pid for process in project.processes()))
    wait_for("the end of the stack", lambda: not project.local.is_locked())
    # What a supervisor leaves that is killed while it replaces a file.
    (project.local.path / DRAFTS[0]).write_text("{")
    for each in (project, copy):
        before = set(each.local.path.iterdir())
        found = doctor(each)
        assert found.found.startswith(STACK_FILE)
        assert set(each.local.path.iterdir()) == before
        found = doctor(each, fix=True)
        assert found.state is State.DONE
        left = before - set(each.local.path.iterdir())
        assert {path.name for path in left} <= {STACK_FILE, DRAFTS[0]}
        assert doctor(each, fix=True).state is State.OK
    assert "copy of" in copy.run("status")


def test_nothing_of_a_stack_that_starts_meanwhile_is_removed(
    project: Project,
) -> None:
    project.run("up", "--broker-only")
    processes = project.processes()
    kill(*(process.pid for process in processes))
    wait_for("the end of the stack", lambda: not project.local.is_locked())
    # The other processes may end later than the one with the lock.
    wait_for("the end of its processes", lambda: gone(processes))
    found = doctor(project)
    project.run("up", "--broker-only")
    assert found.fix is not None
    assert found.fix() == "nothing removed: a supervisor of this lake runs by now"
    assert project.runs()
    assert (project.local.path / STACK_FILE).exists()
