"""The command `semloop doctor --fix`."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from semloop.command.doctor import State, left
from semloop.command.doctor.fixes import fixed
from semloop.errors import LakeError
from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings
from tests.cli.helpers import Writer, named
from tests.doctor.leftover_checks import age, tree
from tests.support import processes
from tests.support.commands import execute
from tests.support.processes import ROOT

# `doctor --fix` that is killed after it has removed one file.
KILLED = """
import os, signal, sys
from pathlib import Path
from semloop.command.cli import main
original = Path.unlink
def unlink(path, *arguments, **options):
    original(path, *arguments, **options)
    if "part-left" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
Path.unlink = unlink
main(["doctor", "--fix"])
"""


@pytest.fixture
def here(settings: Settings, tmp_path: Path) -> Settings:
    """A lake with three data files that no commit names."""
    TopicAdmin(settings).ensure()
    settings = settings.replace(
        spool=str(tmp_path / "spool"), embedder="hashing", lake=str(tmp_path / "lake")
    )
    Writer(settings).write(*named("a"))
    (path,) = Path(settings.lake, "events").rglob("*.parquet")
    for number in range(3):
        orphan = path.with_name(f"part-left-{number}.zstd.parquet")
        orphan.write_bytes(b"left")
        age(orphan)
    return settings


def doctor(settings: Settings, *arguments: str) -> tuple[int, str]:
    spool = {"SEMLOOP_SPOOL": settings.agent.spool}
    environ = processes.environment(settings) | spool
    code, out, err = execute(environ, "doctor", *arguments)
    assert err == ""
    return code, out


def orphans(settings: Settings) -> list[str]:
    return sorted(
        path.name for path in tree(Path(settings.lake)) if "part-left" in path.name
    )


@pytest.mark.parametrize("arguments", [(), ("--dry-run",), ("--fix", "--dry-run")])
def test_without_fix_doctor_says_what_it_would_do(
    here: Settings, arguments: tuple[str, ...]
) -> None:
    before = tree(Path(here.lake))
    code, out = doctor(here, *arguments)
    what = "warn  files: 3 data files (12 bytes) in no version of a table, older than "
    assert f"\n{what}24 hours\n      `semloop doctor --fix` removes them.\n" in out
    assert code == 0
    assert tree(Path(here.lake)) == before


def test_fix_says_what_it_found_and_what_it_removed(here: Settings) -> None:
    code, out = doctor(here, "--fix")
    assert code == 0
    lines = out.splitlines()
    at = lines.index("done  files: removed 3 data files (12 bytes)")
    assert lines[at - 1].startswith("warn  files: 3 data files (12 bytes) in no ")
    assert ", done 1" in lines[-1]
    assert orphans(here) == []
    code, out = doctor(here, "--fix")
    assert code == 0
    assert "done" not in out


def test_fix_reports_for_programs(here: Settings) -> None:
    code, out = doctor(here, "--fix", "--format", "json")
    assert code == 0
    (done,) = [c for c in json.loads(out)["checks"] if c["state"] == "done"]
    assert done == {
        "check": "files", "state": "done", "todo": "",
        "found": "removed 3 data files (12 bytes)",
    }  # fmt: skip


@pytest.mark.process
def test_a_fix_that_was_killed_is_finished_by_the_next_one(here: Settings) -> None:
    spool = here.agent.spool
    environ = processes.environment(here, SEMLOOP_SPOOL=spool)
    command = [sys.executable, "-c", KILLED]
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    # The message comes first.
    assert "warn  files: 3 data files (12 bytes)" in done.stdout
    assert len(orphans(here)) == 2
    assert "done  files: removed 2 data files (8 bytes)\n" in doctor(here, "--fix")[1]
    assert orphans(here) == []


def test_a_fix_that_fails_says_why_and_what_to_do() -> None:
    def refuse() -> str:
        msg = "The store refuses."
        raise LakeError(msg, "Grant the right to delete.")

    def forbid() -> str:
        raise PermissionError(13, "Permission denied", "/lake/file")

    def time_out() -> str:
        raise TimeoutError

    def break_down() -> str:
        raise KeyError

    for fix, why, todo in (
        (time_out, "not done: TimeoutError.", "Check the permissions"),
        (break_down, "not done: Unexpected KeyError", "Report this line"),
        (refuse, "not done: The store refuses.", "Grant the right to delete."),
        (
            forbid,
            "not done: /lake/file: Permission denied.",
            "Check the permissions",
        ),
    ):
        result = fixed(left("files", "1 file", fix, "removes it"))
        assert result.state is State.WARN
        assert result.found.startswith(f"1 file; {why}")
        assert result.todo.startswith(todo)
