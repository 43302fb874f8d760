"""`maintain upgrade` brings the lake of an earlier version to the current layout."""

import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake.schema import Field, PrimitiveType

from flows.compact import compact
from flows.upgrade import due_steps, upgrade
from schemas.batches import Merge
from schemas.compaction import MergedFile
from semloop import Lake, layout, tables
from semloop.delta.file_name import BEFORE_ALL, UNNUMBERED, FileName
from semloop.errors import LakeError
from semloop.lake import generations
from semloop.settings import Settings
from semloop.storage.location import Storage
from semloop.tables import LAYOUT_FILE
from sinks.compaction.merged_file import write_merged
from tests.lakes.unpacked import Answers, assert_answers, layout_2
from tests.sinks.compacting import commit, data_files, file_count
from tests.sources.events_table import EventsTable
from tests.support.processes import ROOT, environment

# Upgrades of whole lakes.
pytestmark = pytest.mark.slow

LAST_DAY = datetime(2026, 11, 22, 18, tzinfo=UTC)


@pytest.fixture
def old(tmp_path: Path) -> tuple[Settings, Answers]:
    return layout_2(tmp_path)


def steps_of(settings: Settings, *, dry_run: bool = False) -> list[str]:
    seen: list[str] = []
    assert upgrade(settings, seen.append, dry_run=dry_run) == len(seen)
    return seen


def names(storage: Storage, table: str) -> list[FileName]:
    return [FileName.of(path) for path in storage.open(table).file_uris()]


def test_a_lake_of_layout_2_is_read_and_written_as_it_is(
    old: tuple[Settings, Answers],
) -> None:
    settings, answers = old
    storage = Storage.of(settings)
    assert_answers(settings, answers)
    layout.bind(storage)
    EventsTable(storage).commit((0, 1_000))
    assert layout.stored(storage) == 2
    with pytest.raises(LakeError, match="has layout 2") as refused:
        compact(settings)
    assert "`semloop maintain upgrade`" in refused.value.todo


def test_an_upgrade_changes_no_row_and_has_nothing_to_do_again(
    old: tuple[Settings, Answers],
) -> None:
    settings, answers = old
    storage = Storage.of(settings)
    before = sorted(str(path) for path in data_files(storage))
    planned = steps_of(settings, dry_run=True)
    assert layout.stored(storage) == 2
    assert sorted(str(path) for path in data_files(storage)) == before
    assert steps_of(settings) == planned
    assert planned[0].startswith("layout 2 becomes 3;")
    assert layout.stored(storage) == tables.LAYOUT_VERSION
    assert_answers(settings, answers)
    for table in filter(storage.has, tables.COMPACTED_TABLES):
        assert {name.first for name in names(storage, table)} == {BEFORE_ALL}
    assert steps_of(settings) == []


def test_files_of_both_versions_of_one_date_are_merged_in_order(
    old: tuple[Settings, Answers],
) -> None:
    settings, _ = old
    storage = Storage.of(settings)
    new = EventsTable(storage)
    new.now = LAST_DAY
    for offset in range(1_000, 1_003):
        new.commit((0, offset))
    upgrade(settings, lambda what: None)
    assert file_count(storage) == 3 + 3
    new.now = datetime.now(UTC)
    new.commit((0, 1_003))
    compact(settings)
    assert file_count(storage) == 3 + 1
    with Lake(settings=settings) as lake:
        assert lake.sql("SELECT count(*) FROM events").fetchall() == [(58 + 4,)]


def test_a_date_on_which_an_earlier_version_wrote_later_is_left_alone(
    old: tuple[Settings, Answers],
) -> None:
    settings, _ = old
    storage = Storage.of(settings)
    new = EventsTable(storage)
    new.now = LAST_DAY
    # As if the old files of that date had been written afterwards.
    new.commit((0, 40))
    upgrade(settings, lambda what: None)
    assert sum(name.first == UNNUMBERED for name in names(storage, "events")) == 6


def test_an_upgrade_that_dies_after_each_step_is_finished_by_the_next_runs(
    old: tuple[Settings, Answers],
) -> None:
    settings, answers = old
    for _ in steps_of(settings, dry_run=True):
        # Each run dies after its first step.
        next(due_steps(settings)).apply()
    assert steps_of(settings) == []
    assert_answers(settings, answers)


def test_a_writer_refuses_a_column_of_a_newer_version(
    old: tuple[Settings, Answers],
) -> None:
    storage = Storage.of(old[0])
    column = Field("mood", PrimitiveType("string"))
    storage.open("events").alter.add_columns([column])
    with pytest.raises(LakeError, match="does not know: mood"):
        EventsTable(storage)


@pytest.mark.storm
@pytest.mark.timeout(1_800)
def test_upgrades_killed_at_any_moment_are_finished_by_the_next(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEMLOOP_TEST_SEED", "20"))
    draw = random.Random(seed)
    for number in range(5):
        settings, answers = layout_2(tmp_path / str(number))
        while upgrade(settings, lambda what: None, dry_run=True):
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "semloop", "maintain", "upgrade"],
                env=environment(settings),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert process.stdout is not None
            for _ in range(draw.randrange(1, 5)):
                process.stdout.readline()
            process.kill()
            process.wait()
            process.stdout.close()
        assert_answers(settings, answers)


def test_memories_of_an_earlier_version_are_filled_again(
    old: tuple[Settings, Answers],
) -> None:
    settings, answers = old
    table = generations.open_existing(Storage.of(settings), 1)
    assert table is not None
    table.drop_columns(["context_user"])
    assert any("memories are filled again" in step for step in steps_of(settings))
    assert_answers(settings, answers)
    assert steps_of(settings) == []


def test_a_damaged_file_does_not_stop_the_other_steps(
    old: tuple[Settings, Answers],
) -> None:
    settings, _ = old
    storage = Storage.of(settings)
    damaged = min(data_files(storage))
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.raises(LakeError, match=r"1 of \d+ steps have failed"):
        upgrade(settings, lambda what: None)
    assert layout.stored(storage) == tables.LAYOUT_VERSION
    assert file_count(storage, "episodes") == 3
    (left,) = due_steps(settings)
    assert str(damaged.parent.name[len("date=") :]) in left.what


def test_a_merge_in_which_another_run_was_faster_is_no_success(
    old: tuple[Settings, Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, answers = old

    def overtaken(storage: Storage, merge: Merge, retry_s: float) -> MergedFile:
        commit(storage, write_merged(storage, merge))
        return write_merged(storage, merge, retry_s)

    with monkeypatch.context() as patched:
        patched.setattr("flows.upgrade.write_merged", overtaken)
        with pytest.raises(LakeError, match=r"\d+ of \d+ steps have failed"):
            upgrade(settings, lambda what: None)
    assert_answers(settings, answers)
    assert steps_of(settings) == []


def test_a_newer_lake_is_left_alone(old: tuple[Settings, Answers]) -> None:
    settings, _ = old
    storage = Storage.of(settings)
    storage.replace(LAYOUT_FILE, b'{"layout": 99}')
    with pytest.raises(LakeError, match="has layout 99"):
        upgrade(settings, lambda what: None)
    assert layout.stored(storage) == 99
