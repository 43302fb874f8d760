"""Room on disks, and events that wait in the spool."""

from pathlib import Path

import pytest

from semloop.agent.spool import Spool
from semloop.command.doctor import State
from semloop.command.doctor.disk import Room, told
from semloop.settings import Settings, load
from tests.doctor.examined import bad, examined, only

GIB = 2**30


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    """A lake that is not there, and a spool of the test's own."""
    return load(
        {}, lake=str(tmp_path / "no" / "lake"), spool=str(tmp_path / "spool"),
        kafka="127.0.0.1:1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("room", "state"),
    [
        (Room(50 * GIB, 100 * GIB, 10**6, 10**7), State.OK),
        (Room(50 * GIB, 100 * GIB, 0, 0), State.OK),
        (Room(4 * GIB, 100 * GIB, 10**6, 10**7), State.WARN),
        (Room(GIB - 1, 10 * GIB, 10**6, 10**7), State.WARN),
        (Room(50 * GIB, 100 * GIB, 10**5, 10**7), State.WARN),
        (Room(99 * 2**20, GIB, 10**6, 10**7), State.FAIL),
        (Room(50 * GIB, 100 * GIB, 999, 10**4), State.FAIL),
    ],
    ids=["fine", "inodes not counted", "under 5 %", "under a GiB", "few inodes", "full", "no inodes"],
)  # fmt: skip
def test_room_is_judged_by_bytes_and_inodes(room: Room, state: State) -> None:
    finding = told("lake", Path("/x"), room)
    assert finding.state is state
    assert bool(finding.todo) == (state is not State.OK)
    assert "GiB" in finding.found


def test_folders_that_are_not_there_are_not_made(
    here: Settings, tmp_path: Path
) -> None:
    finding, *more = examined(here, "disk")
    # The test's folder may be the system's temporary one, or not.
    assert all(f.found.split(":")[0] in "lake, spool, temporary files" for f in more)
    assert finding.found.startswith("lake, spool")
    assert f"free at {tmp_path}" in finding.found
    assert list(tmp_path.iterdir()) == []


def test_a_lake_on_s3_needs_no_disk(here: Settings) -> None:
    settings = here.replace(lake="s3://bucket/x")
    found = examined(settings, "disk")
    assert not any(f.found.startswith("lake") for f in found)


def test_what_dead_processes_left_is_counted_and_left_alone(
    here: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    assert bad(examined(here, "spool")) == []
    for name in ("a", "b"):
        dead = Spool.new(folder, name, 2**20)
        dead.append([b"{}", b"{}"])
        dead.close()  # as its process does when it ends with the broker away
    live = Spool.new(folder, "live", 2**20)
    live.append([b"{}"])
    empty = Spool.new(folder, "empty", 2**20)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    first, second = examined(here, "spool")
    assert (first.state, second.state) == (State.OK, State.WARN)
    assert "running processes keep 1 event (3 bytes, 1 file)" in first.found
    assert "dead processes left 4 events (12 bytes, 2 files)" in second.found
    assert f"semloop import {folder}" in second.todo
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    # Nothing is locked any more: the next agent adopts them.
    (orphan,) = Spool.orphans(folder, "a", 2**20)
    orphan.close()
    live.close()
    empty.close()


def test_files_of_others_are_told(here: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    (folder / "x.jsonl").symlink_to(folder / "x.jsonl")  # not even root reads this
    assert only(examined(here, "spool")).found == "1 file cannot be read"
