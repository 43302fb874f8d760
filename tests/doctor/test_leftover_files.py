"""Data files and drafts that writers left which were killed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from semloop.command.doctor import State
from semloop.command.doctor.fixes import fixed
from semloop.command.doctor.leftovers import files as module
from semloop.errors import LakeError
from semloop.settings import Settings, load
from semloop.storage.listing import remove_files
from semloop.storage.location import Storage
from tests.cli.helpers import Writer, named
from tests.doctor.leftover_checks import age, fix_all, left_over, tree
from tests.doctor.run_checks import findings_of, problems
from tests.semloop.written_lake import queried
from tests.support.processes import ROOT
from tests.support.services import wait_for

# A writer that is killed between a data file and the commit that names it, or between
# the draft of a file and its name.
CHILD = """
import os, signal, sys
from semloop.settings import load
from semloop.errors import LakeError
from semloop.storage import store_time
from semloop.storage.listing import remove_files
from semloop.storage.location import Storage
from sinks.delta.table_log import TableLog
from tests.cli.helpers import Writer, named
def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)
settings = load({}, lake=sys.argv[1])
if sys.argv[2] == "data":
    writer = Writer(settings)
    TableLog.commit = killed
    writer.write(*named("a"))
else:
    os.link = killed
    Storage.of(settings).create("artifacts/2026/11/28/a/b", b"{}")
"""


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return load({}, lake=str(tmp_path / "lake"))


@pytest.fixture
def on_s3(s3_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A lake on S3; the times of objects cannot be set, so all are old immediately."""
    monkeypatch.setattr(module, "SAFE_S", 0.0)
    return s3_settings.replace(vacuum_hours=0.0)


def killed(settings: Settings, how: str) -> None:
    command = [sys.executable, "-c", CHILD, settings.lake, how]
    done = subprocess.run(command, cwd=ROOT, timeout=120)
    assert done.returncode == -signal.SIGKILL


def left_by_killed(settings: Settings, how: str) -> set[Path]:
    """Return the files that a killed writer left, which look old."""
    before = tree(Path(settings.lake))
    killed(settings, how)
    left = tree(Path(settings.lake)) - before
    left = {path for path in left if "_delta_log" not in path.parts}
    left = {path for path in left if "_activity" not in path.parts}
    age(*left)
    return left


def rows(settings: Settings) -> int:
    ((count,),) = queried(Path(settings.lake), "SELECT count(*) FROM events")
    return int(count)


@pytest.mark.process
def test_data_files_of_a_killed_writer_are_found_and_removed(here: Settings) -> None:
    Writer(here).write(*named("a", "b"))
    left = left_by_killed(here, "data")
    assert len(left) == 1
    # The newest file of a table may be about to be committed: a clock was set ahead.
    age(*Path(here.lake, "events").rglob("*.parquet"))
    assert left_over(here, "files", "lake") is None
    Writer(here).write(*named("c"))
    before = tree(Path(here.lake))

    found = left_over(here, "files", "lake")
    assert found is not None
    (size,) = [path.stat().st_size for path in left]
    assert found.found.startswith("1 data file (")
    assert f"({size / 1024:.3g} KiB) in no version of a table" in found.found
    assert tree(Path(here.lake)) == before
    assert fix_all(here, "files", "lake") == [
        f"removed 1 data file ({size / 1024:.3g} KiB)"
    ]
    assert before - tree(Path(here.lake)) == left
    assert problems(findings_of(here, "lake", "files")) == []
    assert rows(here) == 3


@pytest.mark.process
def test_young_files_are_not_touched(here: Settings) -> None:
    Writer(here).write(*named("a"))
    count = len(tree(Path(here.lake)))
    killed(here, "data")
    killed(here, "draft")
    assert len(tree(Path(here.lake))) >= count + 2
    Writer(here).write(*named("b"))
    before = tree(Path(here.lake))
    assert problems(findings_of(here, "lake", "files")) == []
    assert fix_all(here, "files", "lake") == []
    assert tree(Path(here.lake)) == before


def test_files_that_a_query_may_still_read_are_kept(here: Settings) -> None:
    for name in "abc":
        Writer(here).write(*named(name))
    age(*Path(here.lake, "events").rglob("*.parquet"))
    storage = Storage.of(here)
    storage.open("events").optimize.compact()
    before = tree(Path(here.lake))
    assert fix_all(here, "files", "lake") == []
    assert tree(Path(here.lake)) == before
    assert rows(here) == 3


def test_a_removal_that_is_refused_says_what_was_removed_before(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    Writer(here).write(*named("a"))
    (path,) = Path(here.lake, "events").rglob("*.parquet")
    for name in "xyz":
        orphan = path.with_name(f"part-{name}.zstd.parquet")
        orphan.write_bytes(b"left")
        age(orphan)
    removed: list[str] = []

    def remove(storage: Storage, names: list[str]) -> int:
        if removed:
            msg = "The store refuses."
            raise LakeError(msg, "Grant the right to delete.")
        removed.extend(names)
        return remove_files(storage, names)

    monkeypatch.setattr("sinks.vacuum.remove_files", remove)
    monkeypatch.setattr("sinks.vacuum.FILES_AT_A_TIME", 1)
    (found,) = [f for f in findings_of(here, "lake", "files") if f.fix]
    result = fixed(found)
    assert result.state is State.WARN
    assert "The store refuses. Deleted before: 1 files." in result.found
    assert result.todo == "Grant the right to delete."


@pytest.mark.process
def test_drafts_of_killed_writers_are_found_and_removed(here: Settings) -> None:
    Writer(here).write(*named("a"))
    left = left_by_killed(here, "draft")
    assert len(left) == 1
    log = Path(here.lake, "events", "_delta_log")
    # As the libraries leave them: `inotify` shows these names during each commit.
    versions = Path(here.lake, "memories", "generation-1.lance", "_versions")
    versions.mkdir(parents=True)
    others = [
        log / "00000000000000000009.json#1",
        versions / ".tmpJsZUZO",
        Path(here.lake, "_doctor-0123456789ab-2"),
    ]
    for path in others:
        path.write_bytes(b"{}")
    age(*others)
    kept = Path(here.lake, "notes.1.12345678")  # a user's
    kept.write_bytes(b"")
    age(kept)
    found = left_over(here, "files", "lake")
    assert found is not None
    assert found.found.startswith("4 temporary files (8 bytes) of interrupted writes")
    assert fix_all(here, "files", "lake") == ["removed 4 temporary files (8 bytes)"]
    assert not any(path.exists() for path in (*left, *others))
    assert kept.exists()
    assert fix_all(here, "files", "lake") == []
    assert rows(here) == 1


def test_data_files_on_s3_are_found_and_removed(on_s3: Settings) -> None:
    storage = Storage.of(on_s3)
    Writer(on_s3).write(*named("a"))
    storage.objects.put("events/date=2026-11-28/part-left.zstd.parquet", b"left")
    storage.objects.put("_doctor-0123456789ab-2", b"")

    def found() -> bool:
        Writer(on_s3).write(*named("b"))
        return left_over_data(on_s3) == 1

    # Its time must be before that of a commit; a store may tell seconds only.
    wait_for("a later commit", found)
    before = set(storage.objects.names())
    done = fix_all(on_s3, "files", "lake")
    assert done[0] == "removed 1 data file (4 bytes)"
    assert done[1].startswith("removed 1 temporary file")
    left = before - set(storage.objects.names())
    assert left == {
        "events/date=2026-11-28/part-left.zstd.parquet", "_doctor-0123456789ab-2",
    }  # fmt: skip
    assert fix_all(on_s3, "files", "lake") == []


def left_over_data(settings: Settings) -> int:
    found = findings_of(settings, "lake", "files")
    return sum(" data file" in each.found for each in found if each.fix)


def test_a_listing_that_takes_too_long_is_reported(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    Writer(here).write(*named("a"))
    monkeypatch.setattr(module, "LIST_S", 0.0)
    (found,) = findings_of(here, "lake", "files")
    assert found.state is State.SKIP
    assert "takes over 0 s a table" in found.found
