"""Whose processes and files are a lake's, without a stack."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import msgspec
import psutil
import pytest

from semloop.command.stack import presence
from semloop.command.stack.presence import LOOKS, Presence
from semloop.command.stack.process import Process
from semloop.command.stack.state import LocalFolder, Stack
from semloop.errors import LakeError
from semloop.local.held_folder import HeldFolder
from semloop.local.identity import LakeIdentity, bind, read_identity
from semloop.local.lock import held_lock, is_held, owner_pid
from semloop.local.marks import mark, marked_processes
from tests.support.commands import execute
from tests.support.processes import ROOT

# Holds the lock of a lake, as a supervisor does, until its input ends.
HOLDS = """
import sys
from pathlib import Path
from semloop.local.lock import held_lock
with held_lock(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""
SLEEPS = [sys.executable, "-S", "-c", "import sys; print(flush=True); sys.stdin.read()"]


@pytest.fixture
def local(tmp_path: Path) -> Path:
    folder = tmp_path / "lake" / "_local"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def marked(local: Path) -> Iterator[tuple[LakeIdentity, int]]:
    """The identity of a lake, and the pid of a process with its mark."""
    lake = bind(local)
    environ = {**os.environ, **mark(lake.id, "broker")}
    pipe = subprocess.PIPE
    with subprocess.Popen(SLEEPS, env=environ, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield lake, process.pid
        process.kill()


def a_stack(pid: int, lake: LakeIdentity) -> Stack:
    """A stack whose broker is the process with this pid, with its true start time."""
    started = psutil.Process(pid).create_time()
    return Stack(
        pid, started, "", "127.0.0.1:1", "t", embedded=True, lake=lake,
        broker_pid=pid, broker_create_time=started,
    )  # fmt: skip


def test_an_identity_is_kept_and_a_copy_gets_another(local: Path) -> None:
    lake = bind(local)
    assert bind(local) == lake
    copy = local.parent.with_name("copy")
    shutil.copytree(local.parent, copy)
    assert read_identity(copy / "_local") == lake
    assert lake.difference(copy / "_local") == f"it is a copy of {local.parent}"
    own = bind(copy / "_local", [lake])
    assert own.id != lake.id
    assert own.difference(copy / "_local") == ""
    assert read_identity(local) == lake


def test_a_lost_identity_is_restored_from_another_file(local: Path) -> None:
    lake = bind(local)
    (local / "lake.json").write_text("{")
    assert bind(local, [None, lake]) == lake


def test_a_process_is_a_stacks_if_it_has_the_mark(
    local: Path, marked: tuple[LakeIdentity, int]
) -> None:
    lake, pid = marked
    assert [process.pid for process in marked_processes(lake.id)] == [pid]
    # The clock was set since: the start time differs, the mark does not.
    assert Process(pid, 0.0, lake.id).find() is not None
    assert Process(pid, psutil.Process(pid).create_time(), "another").find() is None
    folder = LocalFolder(local)
    folder.write(a_stack(pid, lake))
    assert [process.pid for process in folder.orphans()] == [pid]


def test_pids_of_other_processes_in_a_stack_file_are_ignored(local: Path) -> None:
    folder = LocalFolder(local)
    folder.write(a_stack(os.getpid(), bind(local)))
    assert folder.read() is not None
    assert folder.orphans() == []


def test_a_copied_stack_file_is_ignored(
    local: Path, marked: tuple[LakeIdentity, int]
) -> None:
    lake, pid = marked
    folder = LocalFolder(local)
    folder.write(a_stack(pid, lake))
    copy = LocalFolder(
        shutil.copytree(local.parent, local.parent.parent / "copy") / "_local"
    )
    assert (copy.read(), copy.orphans()) == (None, [])
    local.parent.rename(local.parent.with_name("moved"))
    moved = LocalFolder(local.parent.with_name("moved") / "_local")
    assert (moved.read(), moved.orphans()) == (None, [])
    # The copy is where the original was, with the same id: it is another folder.
    copy.path.parent.rename(local.parent)
    assert (folder.read(), folder.orphans()) == (None, [])


def test_a_process_of_another_user_is_named(
    marked: tuple[LakeIdentity, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(process: psutil.Process) -> None:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "terminate", refuse)
    lake, pid = marked
    with pytest.raises(LakeError, match="started by another user"):
        Process(pid, 0.0, lake.id).stop(1.0)


def test_a_lock_moves_with_its_folder_but_is_not_that_of_the_new_place(
    local: Path,
) -> None:
    moved = local.parent.with_name("moved")
    with held_lock(local) as lock, held_lock(local) as second:
        assert lock is not None
        assert second is None
        assert is_held(local)
        local.parent.rename(moved)
        assert not is_held(moved / "_local")
        with held_lock(moved / "_local") as third:
            assert third is None
    with held_lock(moved / "_local") as fourth:
        assert fourth is not None
        assert fourth.lake.id != lock.lake.id


def test_a_held_folder_is_recognized_after_a_move(local: Path) -> None:
    held = HeldFolder(local)
    assert held.is_in_place()
    moved = local.parent.with_name("moved")
    local.parent.rename(moved)
    assert not held.is_in_place()
    assert held.present_path() == moved / "_local"
    local.parent.symlink_to(moved)
    assert held.is_in_place()
    shutil.rmtree(moved)
    assert not held.is_in_place()
    assert held.present_path() is None
    held.close()


def test_a_lake_that_is_away_for_a_moment_has_not_left(
    local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = local.parent.with_name("moved")
    held = Presence(LocalFolder(local), print)
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == LOOKS - 1:
            away.rename(local.parent)

    monkeypatch.setattr(presence, "time", SimpleNamespace(sleep=sleep))
    local.parent.rename(away)
    held.write(a_stack(os.getpid(), LakeIdentity.new(away / "_local")))
    assert list((away / "_local").iterdir()) == []
    assert not held.has_left()
    assert len(looks) == LOOKS - 1
    local.parent.rename(away)
    assert held.has_left()


@contextmanager
def holder(local: Path) -> Iterator[int]:
    """Let another process hold the lock; yield its pid."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HOLDS, str(local)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate()


def test_the_owner_of_a_lock_is_known_without_its_file(local: Path) -> None:
    with holder(local) as pid:
        os.truncate(local / "lock", 0)
        assert owner_pid(local) == pid
    assert owner_pid(local) is None


def test_a_broker_of_an_earlier_version_loses_its_records(
    local: Path,
) -> None:
    down = importlib.import_module("semloop.command.cli.down")
    folder, embedded = LocalFolder(local), a_stack(os.getpid(), bind(local))
    external = msgspec.structs.replace(embedded, embedded=False)
    embedded = msgspec.structs.replace(embedded, embedded=True)
    assert down.lost(folder, external) == ""
    assert "are lost" in down.lost(folder, embedded)
    (local / "broker").mkdir()
    assert down.lost(folder, embedded) == ""


def test_no_stranger_is_named_as_the_owner_of_a_lock(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with holder(local) as pid:
        found = os.stat(local / "lock")
        major, minor = os.major(found.st_dev), os.minor(found.st_dev)

        def owner(*lines: tuple[int, int]) -> int | None:
            text = "".join(
                f"{n}: FLOCK  ADVISORY  WRITE {pid} {major + other:02x}:{minor:02x}:"
                f"{found.st_ino} 0 EOF\n"
                for n, (pid, other) in enumerate(lines)
            )
            locks = tmp_path / "locks"
            locks.write_text(text)
            monkeypatch.setattr("semloop.local.lock.LOCKS", locks)
            return owner_pid(local)

        assert owner((pid, 0)) == pid
        # The same inode on another device; two owners; a program that is not ours.
        assert owner((pid, 1)) is None
        assert owner((pid, 0), (os.getpid(), 0)) is None
        assert owner((1, 0)) is None


def test_a_stack_of_another_version_is_named_with_its_pid(
    local: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEMLOOP_LAKE", str(local.parent))
    down = importlib.import_module("semloop.command.cli.down")
    monkeypatch.setattr(down, "FILES_S", 0.0)
    with holder(local) as pid:
        code, _, err = execute({}, "down")
        assert (code, "still starting" in err) == (1, True)
        (local / "stack.json").write_text('{"pid": 7, "parts": []}')
        code, _, err = execute({}, "down")
    assert code == 1
    assert "started by another version of semloop" in err
    assert f"kill {pid}" in err
