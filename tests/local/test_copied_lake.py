"""A stack belongs to one lake: not to a copy of it, and not to what replaced it."""

import os
import shutil
import signal
from collections.abc import Callable

import pytest

from semloop.agent.local_stack import local_stack
from semloop.kafka.clients import has_broker
from semloop.settings import load
from tests.local.project import Project, gone
from tests.support.builders import an_event, raw
from tests.support.services import wait_for

pytestmark = pytest.mark.process


def hard_linked(project: Project) -> Project:
    """Copy a project by hard links, as `cp -al` and some back-ups do."""
    target = project.folder.with_name("linked")
    shutil.copytree(project.folder, target, copy_function=os.link)
    return Project(target)


@pytest.mark.parametrize("copied", [Project.copy, hard_linked])
def test_a_copy_neither_stops_nor_uses_the_stack_of_the_original(
    original: Project, copied: Callable[[Project], Project]
) -> None:
    original.run("up", "--broker-only")
    processes = original.processes()
    copy = copied(original)

    line, *_ = copy.run("status").splitlines()
    assert "nothing of this lake runs" in line
    assert f"copy of {original.lake}" in line
    assert not has_broker(load({}, lake=str(copy.lake)))
    assert local_stack(copy.lake) is None
    (copy.folder / "events.jsonl").write_bytes(raw(an_event()))
    refused = copy.run("import", "events.jsonl", "--format", "events", code=1)
    assert "no stack runs for the lake" in refused
    assert f"copy of {original.lake}" in copy.run("down", code=1)
    assert original.runs()

    assert f"copy of {original.lake}" in copy.run("up", "--broker-only")
    assert original.runs()
    assert copy.runs()
    assert copy.stack().kafka != original.stack().kafka
    assert copy.stack().broker_pid != original.stack().broker_pid
    assert copy.stack().lake_id != original.stack().lake_id
    assert "already running" in copy.run("up", "--broker-only", code=1)
    assert "already running" in original.run("up", "--broker-only", code=1)

    copy.run("down")
    assert original.runs()
    assert original.processes() == processes
    original.run("down")
    assert gone(processes)


def test_a_stack_whose_lake_is_moved_saves_its_records_and_ends(
    original: Project,
) -> None:
    original.run("up")
    processes = original.processes()
    # Nothing writes what is imported until the folder has moved.
    archive = original.stack().flows["archive"].process()
    assert archive is not None
    os.kill(archive.pid, signal.SIGSTOP)
    original.import_events(20)
    place = original.lake
    original.folder.rename(original.folder.with_name("moved"))
    moved = Project(original.folder.with_name("moved"))

    line, *_ = moved.run("status").splitlines()
    assert "nothing of this lake runs" in line
    assert f"moved here from {place}" in line
    assert f"moved here from {place}" in moved.run("down", code=1)
    assert f"moved here from {place}" in moved.run("up")
    assert gone(processes)
    assert moved.runs()
    assert moved.events() == 20
    # `memory` may have been making its tables at the moment of the move.
    if place.exists():
        assert not (place / "events").exists()
        assert f"{place} exists again" in moved.local.log("supervisor").read_text()
    moved.run("down")


def test_a_stack_whose_lake_is_deleted_or_replaced_ends(original: Project) -> None:
    original.run("up", "--broker-only")
    processes = original.processes()
    back_up = original.copy("back-up")
    shutil.rmtree(original.folder)
    back_up.folder.rename(original.folder)
    wait_for("the end of the stack", lambda: gone(processes))
    assert "nothing of this lake runs" in original.run("status")
    original.run("up", "--broker-only")
    assert original.runs()


def test_all_paths_to_a_lake_lead_to_its_stack(original: Project) -> None:
    original.run("up", "--broker-only")
    link = original.folder.with_name("link")
    link.symlink_to(original.folder)
    linked_lake = original.folder.with_name("elsewhere")
    linked_lake.mkdir()
    (linked_lake / ".semloop").symlink_to("../original/.semloop")
    for path in (link, linked_lake):
        project = Project(path)
        assert project.runs()
        assert "already running" in project.run("up", "--broker-only", code=1)
        assert has_broker(load({}, lake=str(project.lake)))
        assert local_stack(project.lake) == local_stack(original.lake)
    # A lake that moved to another disk, with a link to it at its former place.
    moved = original.folder.with_name("disk")
    original.folder.rename(moved)
    original.folder.symlink_to(moved)
    assert original.runs()
    Project(link).run("down")
    assert "is not running" in original.run("down", code=1)


@pytest.mark.parametrize("name", ["stack.json", "lake.json", "lock"])
@pytest.mark.parametrize("damage", ["removed", "truncated"])
def test_a_running_stack_restores_its_files(
    original: Project, name: str, damage: str
) -> None:
    original.run("up", "--broker-only")
    processes, lake = original.processes(), original.stack().lake
    file = original.local.path / name
    if damage == "removed":
        file.unlink()
    else:
        os.truncate(file, 0)
    wait_for("the file", lambda: file.exists() and file.stat().st_size)
    wait_for("the stack", original.runs)
    assert "already running" in original.run("up", "--broker-only", code=1)
    assert original.processes() == processes
    assert original.stack().lake == lake
    original.run("down")
    assert gone(processes)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("up", "--broker-only"), marks=pytest.mark.storm),
        ("down", "--force"),
    ],
)
def test_what_a_killed_supervisor_left_is_found_without_its_files(
    original: Project, command: tuple[str, ...]
) -> None:
    original.run("up")
    supervisor, *left = original.processes()
    os.kill(supervisor.pid, signal.SIGKILL)
    wait_for("the end of the supervisor", lambda: not original.local.is_locked())
    os.truncate(original.local.path / "stack.json", 0)
    copy = original.copy()
    assert copy.local.orphans() == []
    assert {p.pid for p in original.local.orphans()} == {p.pid for p in left}
    assert "left over by a crash" in original.run("status")
    original.run(*command)
    assert gone(left)
