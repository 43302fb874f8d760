"""Data files that compaction replaced, and the log that tells since when."""

import time
from datetime import timedelta
from pathlib import Path

import pytest

from semloop.command.doctor import State
from semloop.command.doctor.leftovers import SAFE_S
from semloop.delta.removed_files import removed_files
from semloop.settings import Settings, load
from semloop.storage import store_time
from semloop.storage.location import Storage
from tests.cli.helpers import Writer, named
from tests.doctor.leftover_checks import age, fix_all, left_over, tree
from tests.doctor.run_checks import findings_of
from tests.semloop.written_lake import queried


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return load({}, lake=str(tmp_path / "lake"))


def rows(settings: Settings) -> int:
    ((count,),) = queried(Path(settings.lake), "SELECT count(*) FROM events")
    return int(count)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_files_that_compaction_replaced_are_a_note_and_are_removed_after_a_day(
    here: Settings, monkeypatch: pytest.MonkeyPatch, checkpoint: bool
) -> None:
    for name in "abc":
        Writer(here).write(*named(name))
    replaced = set(Path(here.lake, "events").rglob("part-*.parquet"))
    storage = Storage.of(here)
    storage.open("events").optimize.compact()
    if checkpoint:
        storage.open("events").create_checkpoint()
    assert fix_all(here, "files", "lake") == []
    later = store_time.now(storage) + timedelta(seconds=1.1 * SAFE_S)
    monkeypatch.setattr("semloop.storage.store_time.now", lambda _: later)
    before = tree(Path(here.lake))
    version = storage.open("events").version()
    (found,) = [f for f in findings_of(here, "lake", "files") if f.fix]
    assert found.state is State.OK
    assert found.found.startswith("3 data files (")
    assert "that were replaced, older than 24 hours" in found.found
    assert "--fix" in found.todo
    (done,) = fix_all(here, "files", "lake")
    assert done.startswith("removed 3 data files (")
    assert before - tree(Path(here.lake)) == replaced
    # A compaction that was frozen before it put its entry cannot put it any more.
    assert storage.open("events").version() == version + 1
    Writer(here).write(*named("d"))
    assert rows(here) == 4


def test_nothing_is_removed_if_the_log_was_cleaned_up_meanwhile(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    Writer(here).write(*named("a"))
    (path,) = Path(here.lake, "events").rglob("*.parquet")
    orphan = path.with_name("part-left.zstd.parquet")
    orphan.write_bytes(b"left")
    age(orphan)
    for entry in Path(here.lake, "events", "_delta_log").glob("*0.json"):
        content = entry.read_bytes()
        entry.unlink()
        storage = Storage.of(here)
        assert removed_files(storage, "events", 2, time.monotonic() + 60) is None
        entry.write_bytes(content)
    assert left_over(here, "files", "lake") is not None
    monkeypatch.setattr("semloop.delta.unused_files.removed_files", lambda *_: None)
    (found,) = findings_of(here, "lake", "files")
    assert found.state is State.SKIP
