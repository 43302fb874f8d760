"""Generations of memories that a killed `reindex` left."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.reindex import reindex
from semloop.command.doctor import Finding
from semloop.command.doctor.leftovers import generations as module
from semloop.lake import generations
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.vectors.maintenance import drop_older_generations
from tests.doctor.leftover_checks import age, fix_all, left_over, tree
from tests.doctor.run_checks import findings_of, only_problem, problems
from tests.flows.reindex_lake import (
    Events,
    current_generation,
    memories_by_id,
    overlapping_sessions,
    run_memory,
    small_poll_settings,
)
from tests.support.processes import ROOT

pytestmark = pytest.mark.process

# Fills a new generation. It says so after its first round, and waits; or it is killed
# then, or as soon as it has created the table.
CHILD = """
import os, signal, sys
from pathlib import Path
from flows.reindex import reindex
from sinks.delta.reindex_positions import ReindexPositions
from tests.flows.reindex_lake import small_poll_settings
folder, how = sys.argv[1:]
def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def show(step, done, total):
    if step == "vectors":
        print("filled", flush=True)
        killed() if how == "filled" else sys.stdin.readline()
if how == "created":
    ReindexPositions.write = killed
reindex(small_poll_settings(Path(folder)), show)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A lake with memories in generation 1."""
    settings = small_poll_settings(tmp_path / "lake")
    events = Events(settings)
    events.add(overlapping_sessions(40))
    run_memory(settings, events)
    return settings


@contextmanager
def reindexing(settings: Settings, how: str) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-c", CHILD, settings.lake, how]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def kill_reindex(settings: Settings, how: str) -> None:
    with reindexing(settings, how) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, err


def folder_of(settings: Settings, number: int) -> Path:
    return Path(settings.lake, "memories", f"{generations.table_name(number)}.lance")


def found_in(settings: Settings) -> list[Finding]:
    return problems(findings_of(settings, "lake", "generations"))


def test_a_half_made_generation_is_kept_and_continued(settings: Settings) -> None:
    assert found_in(settings) == []
    kill_reindex(settings, "filled")
    before = tree(folder_of(settings, 2))
    # A process that has just written may still run.
    assert found_in(settings) == []
    age(*before)
    finding = only_problem(findings_of(settings, "lake", "generations"))
    assert finding.found.startswith("generation 2 is half made: ")
    assert ", last written 1 d " in finding.found
    assert "continue it: `semloop maintain reindex`" in finding.todo
    assert fix_all(settings, "generations", "lake") == []
    assert tree(folder_of(settings, 2)) == before
    assert reindex(settings).generation == 2
    assert found_in(settings) == []
    assert memories_by_id(settings) == memories_by_id(settings, generation=1)


def test_the_generation_of_a_running_reindex_is_not_touched(
    settings: Settings,
) -> None:
    with reindexing(settings, "run") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "filled\n"
        before = tree(folder_of(settings, 2))
        age(*before)
        assert fix_all(settings, "generations", "lake") == []
        assert tree(folder_of(settings, 2)) == before
        _, err = process.communicate("\n", timeout=120)
        assert process.returncode == 0, err
    assert current_generation(settings) == 2
    assert memories_by_id(settings) == memories_by_id(settings, generation=1)


def test_an_empty_generation_is_removed_once_no_reindex_can_be_filling_it(
    settings: Settings,
) -> None:
    kill_reindex(settings, "created")
    empty = folder_of(settings, 2)
    assert tree(empty)
    assert fix_all(settings, "generations", "lake") == []
    age(*tree(empty))
    expected = memories_by_id(settings)
    finding = left_over(settings, "generations", "lake")
    assert finding is not None
    assert finding.found.startswith("generation 2 of the memories (")
    (done,) = fix_all(settings, "generations", "lake")
    assert done.startswith("removed generation 2 of the memories (")
    assert not empty.exists()
    assert memories_by_id(settings) == expected
    assert found_in(settings) == []
    assert reindex(settings).generation == 2
    assert memories_by_id(settings) == expected


def test_a_generation_that_was_replaced_is_removed(settings: Settings) -> None:
    expected = memories_by_id(settings)
    reindex(settings)
    # `maintain index` removes it soon.
    assert found_in(settings) == []
    age(*tree(folder_of(settings, 1)))
    # It had not changed for a day, but a reader may have opened it just before.
    assert found_in(settings) == []
    age(*tree(folder_of(settings, 2)))
    finding = left_over(settings, "generations", "lake")
    assert finding is not None
    assert finding.found.startswith("generation 1 of the memories (")
    fix_all(settings, "generations", "lake")
    assert not folder_of(settings, 1).exists()
    assert memories_by_id(settings) == expected


def test_what_a_killed_removal_left_is_removed(settings: Settings) -> None:
    reindex(settings)
    versions = folder_of(settings, 1) / "_versions"
    for path in versions.iterdir():
        path.unlink()
    drop_older_generations(Storage.of(settings), 2)
    rest = tree(folder_of(settings, 1))
    assert rest
    age(*rest, *tree(folder_of(settings, 2)))
    (done,) = fix_all(settings, "generations", "lake")
    assert done.startswith("removed generation 1 of the memories (")
    assert not folder_of(settings, 1).exists()


def test_generations_on_s3(
    s3_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = s3_settings.replace(embedder="hashing", commit_rows=1)
    events = Events(settings)
    events.add(overlapping_sessions(5))
    run_memory(settings, events)
    reindex(settings)
    assert found_in(settings) == []
    monkeypatch.setattr(module, "SAFE_S", -60.0)
    (done,) = fix_all(settings, "generations", "lake")
    assert done.startswith("removed generation 1 of the memories (")
    names = Storage.of(settings).objects.names()
    assert not any(name.startswith("memories/generation-1.") for name in names)
    assert found_in(settings) == []
