"""Readers of new rows take only what is new of a compaction."""

from datetime import timedelta
from pathlib import Path

import pytest

from semloop.delta.log_entry import entry_name
from semloop.delta.snapshot import Snapshot, new_files, read_snapshot
from semloop.storage.location import Storage
from sources.lake import read_plan
from sources.lake.read_plan import PlannedFile, UnreadFilter
from sources.lake.reader import LakeReader
from tests.sinks.compacting import compact, due
from tests.sources.events_table import EventsTable, open_reader, origins, read_to_end
from tests.support.builders import P0, P1

pytestmark = pytest.mark.slow


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the files that have unread rows, as the readers see it."""
    found: list[str] = []
    real = read_plan.plan_file

    def plan_file(path: str, file: object, unread: UnreadFilter) -> PlannedFile | None:
        plan = real(path, file, unread)
        found.extend([path] if plan else [])
        return plan

    monkeypatch.setattr("sources.lake.reader.plan_file", plan_file)
    return found


def snapshot_of(table: EventsTable) -> Snapshot:
    found = read_snapshot(table.storage, "events")
    assert found is not None
    return found


def added_files(before: Snapshot, table: EventsTable) -> list[str]:
    found = new_files(table.storage, before, snapshot_of(table))
    assert found is not None
    return found


def test_rows_that_were_read_are_not_read_again(
    table: EventsTable, planned: list[str]
) -> None:
    for offset in range(3):
        # The largest offset of a file is far beyond those of the other partition.
        table.commit((0, offset), (1, 100 + offset))
    reader = open_reader(table.storage)
    assert len(read_to_end(reader)) == 6
    planned.clear()
    compact(table.storage)
    assert read_to_end(reader) == []
    assert planned == []
    table.commit((0, 3))
    compact(table.storage)
    assert read_to_end(reader) == [(0, 3)]


def test_a_start_reads_no_history(table: EventsTable, planned: list[str]) -> None:
    for offset in range(3):
        table.commit((0, offset), (1, 100 + offset))
    compact(table.storage)
    table.commit((0, 3))
    reader = open_reader(table.storage, {P0: 2, P1: 102})
    assert read_to_end(reader) == [(0, 3)]
    assert len(planned) == 1


def test_compacted_files_of_a_long_history_are_read_one_after_another(
    table: EventsTable,
) -> None:
    for first in (0, 4, 8):
        for offset in range(first, first + 4):
            table.commit((0, offset), (1, offset))
        (merge,) = due(table.storage)[-1:]
        assert len(merge.files) >= 2
        compact(table.storage)
    reader = open_reader(table.storage, rows_max=5)
    rows = read_to_end(reader)
    for partition in (0, 1):
        assert [o for p, o in rows if p == partition] == list(range(12))


@pytest.mark.parametrize("clock", [1, -1], ids=["right", "running backwards"])
def test_commits_merge_in_their_order_with_any_clock(
    storage: Storage, clock: int
) -> None:
    table = EventsTable(storage, step=timedelta(seconds=clock))
    for offset in range(3):
        table.commit((0, offset))
    compact(storage)
    for offset in range(3, 6):
        table.commit((0, offset))
    (merge,) = due(storage)
    firsts = [file.name.first for file in merge.files]
    assert firsts == sorted(firsts)
    assert merge.files[0].name.level == 1


def test_files_of_the_version_that_was_read_are_not_new(table: EventsTable) -> None:
    table.commit((0, 0))
    table.commit((0, 1))
    before = snapshot_of(table)
    assert new_files(table.storage, before, before) == []
    compact(table.storage)
    after = snapshot_of(table)
    assert new_files(table.storage, before, after) == []
    table.commit((0, 2))
    (added,) = added_files(before, table)
    assert "part-" in added
    compact(table.storage)
    (added,) = added_files(after, table)
    assert "compacted-2" in added
    assert new_files(table.storage, None, after) is None


def test_rows_that_were_removed_make_everything_new(table: EventsTable) -> None:
    for offset in range(3):
        table.commit((0, offset), (1, offset))
    before = snapshot_of(table)
    compact(table.storage)
    table.storage.open("events").delete("kafka_offset < 1")
    assert new_files(table.storage, before, snapshot_of(table)) is None


def test_rows_that_were_removed_are_not_made_up_for_by_new_ones(
    table: EventsTable,
) -> None:
    for offset in range(3):
        table.commit((0, 2 * offset), (0, 2 * offset + 1))
    before = snapshot_of(table)
    table.storage.open("events").delete("kafka_offset < 1")
    table.commit((0, 6), (0, 7))
    compact(table.storage)
    assert new_files(table.storage, before, snapshot_of(table)) is None


def test_a_log_that_was_cleaned_up_makes_everything_new(table: EventsTable) -> None:
    for offset in range(3):
        table.commit((0, offset))
    before = snapshot_of(table)
    table.commit((0, 3))
    compact(table.storage)
    after = snapshot_of(table)
    assert new_files(table.storage, before, after) is not None
    Path(table.storage.root, entry_name("events", before.version + 1)).unlink()
    assert new_files(table.storage, before, after) is None


def test_a_table_that_was_created_again_is_new(tmp_path: Path) -> None:
    first = EventsTable(Storage(str(tmp_path / "a")))
    first.commit((0, 0))
    second = EventsTable(Storage(str(tmp_path / "b")))
    second.commit((0, 0))
    assert new_files(second.storage, snapshot_of(first), snapshot_of(second)) is None


def test_polls_continue_while_files_are_merged_under_them(table: EventsTable) -> None:
    reader: LakeReader = open_reader(table.storage, rows_max=1)
    rows: list[tuple[int, int]] = []
    for offset in range(12):
        table.commit((0, offset), (1, offset))
        rows += origins(reader.poll())
        if offset % 3 == 2:
            compact(table.storage)
    rows += read_to_end(reader) + read_to_end(reader)
    for partition in (0, 1):
        assert [o for p, o in rows if p == partition] == list(range(12))
