"""Following a Delta table from version to version, and reading table `streams`."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pytest

from semloop import tables
from semloop.delta import table as delta_table
from semloop.delta.snapshot import FileStats, read_snapshot
from semloop.delta.streams import CAUGHT_UP, Partition
from semloop.delta.streams_table import StreamsTable, read_streams
from semloop.delta.table import TableFollower
from semloop.errors import LakeError, StorageUnavailable
from semloop.storage.location import Storage
from sinks.delta.streams_table import register
from tests.sources.events_table import EventsTable
from tests.support.builders import LOG, NOW

LAST_0 = LOG.app_id("events", 0)
CAUGHT_UP_0 = LAST_0 + CAUGHT_UP


@dataclass(frozen=True)
class RecordingStorage(Storage):
    """A lake that records which of its files are opened."""

    opened: list[str] = field(default_factory=list)

    def opener(self) -> Callable[[str], pa.NativeFile]:
        open_file = super().opener()

        def open_and_record(name: str) -> pa.NativeFile:
            file = open_file(name)
            self.opened.append(name)
            return file

        return open_and_record


@pytest.fixture
def table(storage: Storage) -> EventsTable:
    return EventsTable(storage)


def test_refresh_returns_the_same_snapshot_while_nothing_is_committed(
    table: EventsTable,
) -> None:
    table.commit((0, 0))
    follower = TableFollower(table.storage, "events")
    snapshot = follower.refresh()
    assert snapshot is not None
    assert follower.refresh() is snapshot
    follower.reopen()
    assert follower.refresh() is snapshot


def test_later_commits_do_not_change_a_snapshot(
    table: EventsTable,
) -> None:
    table.commit((0, 0), (1, 4))
    follower = TableFollower(table.storage, "events", [LAST_0])
    before = follower.refresh()
    table.commit((0, 1))
    after = follower.refresh()
    assert before is not None
    assert after is not None
    assert (after.table_id, after.version) == (before.table_id, before.version + 1)
    assert (before.row_count, after.row_count) == (2, 3)
    assert before.files.items() < after.files.items()
    assert (before.transactions, after.transactions) == ({LAST_0: 0}, {LAST_0: 1})


def test_a_snapshot_has_the_file_statistics_of_the_log(table: EventsTable) -> None:
    table.commit((0, 7), (1, 4))
    snapshot = read_snapshot(table.storage, "events")
    assert snapshot is not None
    (path,) = table.files()
    assert snapshot.uris(table.storage) == [str(path)]
    (stats,) = snapshot.files.values()
    assert stats == FileStats(
        rows=2,
        size_bytes=path.stat().st_size,
        topic_ids=("topic-1", "topic-1"),
        partitions=(0, 1),
        last_offset=7,
        ingested_at=NOW,
    )


def test_a_file_may_contain_rows_unless_its_statistics_exclude_them(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    stats = FileStats(2, 9, ("b", "d"), (1, 3), 7, NOW)
    assert stats.may_contain(Partition("c", 2), 6)
    for topic_id, number, beyond in (("a", 2, 6), ("c", 4, 6), ("c", 2, 7)):
        assert not stats.may_contain(Partition(topic_id, number), beyond)
    monkeypatch.setitem(
        tables.TABLES, "events", replace(tables.TABLES["events"], statistics=())
    )
    table.commit((0, 0))
    snapshot = read_snapshot(table.storage, "events")
    assert snapshot is not None
    (unknown,) = snapshot.files.values()
    assert unknown.may_contain(Partition("anything", 99), 10**9)


def test_refresh_returns_none_until_the_table_is_created(
    storage: Storage,
) -> None:
    follower = TableFollower(storage, "events")
    assert follower.refresh() is None
    assert read_snapshot(storage, "events") is None
    EventsTable(storage)
    assert follower.refresh() is not None
    shutil.rmtree(storage.root)
    assert follower.refresh() is None


def test_a_table_that_was_created_again_has_another_id(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.commit((0, 5), caught_up={0: 1})
    follower = TableFollower(table.storage, "events", [LAST_0, CAUGHT_UP_0])
    old = follower.refresh()
    shutil.rmtree(table.storage.root)
    EventsTable(table.storage).commit((0, 0))
    monkeypatch.setattr(delta_table, "REOPEN_S", 0.0)
    new = follower.refresh()
    assert old is not None
    assert new is not None
    assert new.version == old.version
    assert new.table_id != old.table_id
    assert new.files.keys().isdisjoint(old.files)
    assert new.transactions == {LAST_0: 0}


def test_refresh_reads_only_new_log_entries(table: EventsTable) -> None:
    storage = RecordingStorage(table.storage.root)
    table.commit((0, 0), caught_up={0: 700})
    follower = TableFollower(storage, "events", [LAST_0, CAUGHT_UP_0])
    follower.refresh()
    for offset in (1, 2):
        table.commit((0, offset))
    follower.reopen()
    storage.opened.clear()
    snapshot = follower.refresh()
    assert snapshot is not None
    assert snapshot.transactions == {LAST_0: 2, CAUGHT_UP_0: 700}
    log = "events/_delta_log"
    new = [f"{log}/{v:020}.json" for v in (snapshot.version - 1, snapshot.version)]
    assert storage.opened == new


@pytest.mark.parametrize("entries_max", [0, 50])
def test_transactions_are_found_after_a_checkpoint_replaced_log_entries(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch, entries_max: int
) -> None:
    monkeypatch.setattr(delta_table, "ENTRIES_MAX", entries_max)
    follower = TableFollower(table.storage, "events", [LAST_0])
    follower.refresh()
    table.commit((0, 0))
    table.commit((0, 1))
    handle = table.storage.open("events")
    handle.create_checkpoint()
    log = Path(table.storage.uri("events"), "_delta_log")
    for version in range(handle.version()):
        (log / f"{version:020}.json").unlink()
    snapshot = follower.refresh()
    assert snapshot is not None
    assert snapshot.transactions == {LAST_0: 1}


def test_watch_adds_transactions_to_the_current_and_later_snapshots(
    table: EventsTable,
) -> None:
    table.commit((0, 3), caught_up={0: 9})
    follower = TableFollower(table.storage, "events", [LAST_0])
    follower.refresh()
    snapshot = follower.watch([CAUGHT_UP_0, "unknown"])
    assert snapshot is not None
    assert snapshot.transactions == {LAST_0: 3, CAUGHT_UP_0: 9}
    assert follower.refresh() is snapshot
    table.commit((0, 4), caught_up={0: 10})
    later = follower.refresh()
    assert later is not None
    assert later.transactions == {LAST_0: 4, CAUGHT_UP_0: 10}


def test_refresh_succeeds_after_a_temporary_read_error(table: EventsTable) -> None:
    follower = TableFollower(table.storage, "events", [LAST_0])
    follower.refresh()
    table.commit((0, 0))
    (entry, *_) = sorted(
        Path(table.storage.uri("events"), "_delta_log").glob("*.json"), reverse=True
    )
    content = entry.read_bytes()
    entry.write_bytes(b"{")
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="Cannot read table events in"):
            follower.refresh()
    entry.write_bytes(content)
    snapshot = follower.refresh()
    assert snapshot is not None
    assert snapshot.transactions == {LAST_0: 0}


def test_reopening_refuses_a_lake_whose_layout_has_changed(
    table: EventsTable,
) -> None:
    follower = TableFollower(table.storage, "events")
    follower.refresh()
    Path(table.storage.root, "_layout.json").write_text('{"layout": 99}')
    follower.reopen()
    with pytest.raises(LakeError, match="layout 99"):
        follower.refresh()


def test_rows_of_streams_are_the_same_object_until_a_row_is_added(
    storage: Storage,
) -> None:
    streams = StreamsTable(storage)
    assert streams.rows() == read_streams(storage) == ()
    table = EventsTable(storage)
    rows = streams.rows()
    assert [row.app_id for row in rows] == [LOG.app_id("events", p) for p in (0, 1)]
    assert [row.partition for row in rows] == [("topic-1", 0), ("topic-1", 1)]
    assert {(row.stream, row.table, row.first_seen) for row in rows} == {
        (LOG, "events", NOW)
    }
    table.commit((0, 0))
    assert streams.rows() is rows
    second = replace(LOG, topic_id="topic-2")
    register(storage, second, ["events"], [7], NOW, new_log=True)
    assert {row.partition for row in streams.rows()} - {
        row.partition for row in rows
    } == {("topic-2", 7)}
    assert set(read_streams(storage)) == set(streams.rows())
