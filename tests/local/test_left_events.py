"""A stack sends what processes left in the spool that ended without one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from semloop.agent.spool.inspection import unsent_of_all
from semloop.agent.spool.orphans import SEARCH_S
from semloop.command.stack.left_events import (
    AGAIN_MAX_S,
    AGAIN_S,
    SPOOL,
    count_left,
    pause_s,
)
from semloop.settings import Settings, load
from tests.local.project import Project
from tests.support.processes import ROOT
from tests.support.services import wait_for
from tests.support.spools import a_writer, emit, leave, unsent_texts

pytestmark = pytest.mark.process

# A user's script; it ends as a program does that is killed for its memory.
SCRIPT = """
import os, signal, semloop
session = semloop.Agent("reporter").session("s-1")
for number in range(3):
    session.message("user", f"report {number}")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def project(original: Project) -> Project:
    """A project whose spool is its own."""
    (original.folder / "semloop.toml").write_text(f"spool = '{spool_of(original)}'\n")
    return original


def spool_of(project: Project) -> Path:
    return project.folder / "spool"


def settings_of(project: Project, topic: str = "agent-events") -> Settings:
    return load({}, spool=str(spool_of(project)), lake=str(project.lake), topic=topic)


def run_script(project: Project) -> None:
    """Run the script in the folder of the project, as its user does."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SEMLOOP_")}
    environ = kept | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=project.folder, env=environ, timeout=60
    )
    assert done.returncode == -signal.SIGKILL


def test_what_was_left_for_the_stack_of_a_folder_above_is_not_counted(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(settings_of(project), "for this lake")
    leave(settings_of(project).replace(lake="/above"), "for the lake above")
    monkeypatch.setattr(
        "semloop.agent.spool.names.nearest_lake", lambda _: Path("/above")
    )
    assert count_left(settings_of(project)) == 1


def test_files_that_can_never_be_sent_are_tried_less_and_less() -> None:
    assert [pause_s(failures) for failures in (0, 1, 2, 3)] == [
        SEARCH_S,
        AGAIN_S,
        2 * AGAIN_S,
        4 * AGAIN_S,
    ]
    assert pause_s(100) == AGAIN_MAX_S


def test_up_sends_what_a_script_left_before_there_was_a_stack(
    project: Project,
) -> None:
    run_script(project)
    leave(settings_of(project, "another"), "for another topic")
    leave(settings_of(project).replace(kafka="127.0.0.1:1"), "for another broker")
    leave(settings_of(project).replace(lake="/elsewhere"), "for another lake")
    alive = a_writer(settings_of(project))
    emit(alive, "its process sends it")
    assert "3 events that ended processes left are sent now" in project.run("up")
    wait_for("the events", lambda: project.events() == 3)
    log = project.local.log("supervisor").read_text()
    assert "sending 3 events that ended processes left in the spool" in log
    assert sorted(unsent_texts(spool_of(project))) == [
        "for another broker", "for another lake", "for another topic",
        "its process sends it",
    ]  # fmt: skip
    alive.close()
    project.run("down")
    assert project.events() == 3


def test_a_stack_sends_what_a_script_left_while_its_broker_was_down(
    project: Project,
) -> None:
    assert "ended processes" not in project.run("up")
    broker = project.processes()[-1]
    os.kill(broker.pid, signal.SIGSTOP)
    run_script(project)
    os.kill(broker.pid, signal.SIGKILL)
    wait_for("the events", lambda: project.events() == 3)
    wait_for("the spool", lambda: not unsent_of_all(spool_of(project)))
    project.run("down")
    assert project.events() == 3


def test_a_failure_to_send_is_a_line_in_the_log_and_the_stack_continues(
    project: Project,
) -> None:
    leave(settings_of(project), "x" * 6_000_000)
    project.run("up")
    log = project.local.log("supervisor")
    wait_for("the line", lambda: "spool send exited with 1; see" in log.read_text())
    assert "cannot be sent, and was removed" in project.local.log(SPOOL).read_text()
    assert project.runs()
