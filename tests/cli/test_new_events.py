"""Every event is returned once, despite commits and maintenance between two polls."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from semloop import tables
from semloop.command.cli import new_events
from semloop.command.cli.new_events import NewEvents
from semloop.delta import table
from semloop.delta.snapshot import Snapshot
from semloop.errors import StorageUnavailable
from semloop.settings import Settings, load
from tests.cli.helpers import Writer, named
from tests.sinks.maintenance import MAINTENANCE
from tests.support.builders import NOW


def tail_of(settings: Settings, where: str = "true", *values: object) -> NewEvents:
    return NewEvents(settings, ["agent"], where, values)


def seen(events: NewEvents) -> list[str]:
    return [str(agent) for (agent,) in events.poll() or ()]


def last(events: NewEvents, count: int) -> list[str]:
    return [str(agent) for (agent,) in events.last(count)]


def test_the_last_events_are_returned_and_then_new_ones(writer: Writer) -> None:
    for n in range(6):
        writer.write(*named(2 * n, 2 * n + 1))
        writer.now += timedelta(seconds=1)
    events = tail_of(writer.settings)
    assert last(events, 3) == ["9", "10", "11"]
    assert seen(events) == []
    writer.write(*named("a", "b"))
    writer.write(*named("c"))
    assert seen(events) == ["a", "b", "c"]
    assert seen(events) == []


def test_rare_last_events_are_found_in_old_files(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_events, "FILES_FIRST", 1)
    writer.write(*named("rare", "often"))
    for _ in range(5):
        writer.now += timedelta(seconds=1)
        writer.write(*named("often"))
    assert last(tail_of(writer.settings, "agent = ?", "rare"), 1) == ["rare"]
    assert len(last(tail_of(writer.settings), 4)) == 4
    assert len(last(tail_of(writer.settings), 100)) == 7
    assert last(tail_of(writer.settings), 0) == []


def test_an_old_row_in_a_compacted_file_is_not_the_last(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_events, "FILES_FIRST", 1)
    writer.write(*named("old"))
    writer.now += timedelta(seconds=10)
    writer.write(*named("newest"))
    writer.storage.open("events").optimize.compact()
    writer.now -= timedelta(seconds=5)
    writer.write(*named("between"), partition=1)
    assert last(tail_of(writer.settings), 2) == ["newest", "between"]


def test_files_without_statistics_are_searched_for_the_last_events(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        tables.TABLES, "events", replace(tables.TABLES["events"], statistics=())
    )
    monkeypatch.setattr(new_events, "FILES_FIRST", 1)
    for n in range(3):
        writer.write(*named(n))
        writer.now += timedelta(seconds=1)
    assert last(tail_of(writer.settings), 2) == ["1", "2"]


def test_events_of_a_worker_with_a_slow_clock_are_returned(writer: Writer) -> None:
    writer.write(*named("first"))
    events = tail_of(writer.settings)
    assert last(events, 1) == ["first"]
    writer.now += timedelta(days=1)
    writer.write(*named("tomorrow"))
    assert seen(events) == ["tomorrow"]
    writer.now -= timedelta(days=2)
    writer.write(*named("yesterday"), partition=1)
    assert seen(events) == ["yesterday"]


@pytest.mark.parametrize(
    "name", ["compacted", "rewritten by predicate", "log cleaned", "checkpoint"]
)
def test_maintenance_repeats_and_hides_no_events(writer: Writer, name: str) -> None:
    writer.write(*named("a"))
    writer.write(*named("b"), partition=1)
    events = tail_of(writer.settings)
    assert last(events, 1) == ["b"]
    # The file starts at offset 0 of a partition; maintenance mixes new and old rows.
    writer.write(*named("c"), partition=1)
    MAINTENANCE[name](writer.storage.open("events"))
    assert seen(events) == ["c"]
    writer = Writer(writer.settings)
    writer.write(*named("d"))
    MAINTENANCE[name](writer.storage.open("events"))
    assert seen(events) == ["d"]
    assert seen(events) == []


def test_filtered_events_are_not_returned_after_a_compaction(writer: Writer) -> None:
    writer.write(*named("x"))
    events = tail_of(writer.settings, "agent <> ?", "x")
    assert last(events, 5) == []
    writer.write(*named("x", "y"))
    assert seen(events) == ["y"]
    writer.storage.open("events").optimize.compact()
    assert seen(events) == []


def test_offsets_order_a_partition_and_timestamps_merge_partitions(
    writer: Writer,
) -> None:
    events = tail_of(writer.settings)
    events.last(1)
    # In partition 0 a producer's clock is set back.
    for n, (partition, minutes) in enumerate([(0, 1), (0, 0), (1, 3), (0, 5), (1, 9)]):
        then = NOW + timedelta(minutes=minutes)
        writer.write(*named(n), partition=partition, kafka_ts=then)
    assert seen(events) == ["0", "1", "2", "3", "4"]


def test_events_of_a_lake_created_later_are_returned() -> None:
    events = tail_of(load())
    assert events.last(3) == []
    assert events.poll() is None
    Writer().write(*named("a"))
    assert seen(events) == ["a"]


def test_no_event_is_lost_while_the_lake_is_unavailable(writer: Writer) -> None:
    writer.write(*named("a"))
    events = tail_of(writer.settings)
    events.last(1)
    lake = Path(writer.settings.lake)
    lake.rename("away")
    assert events.poll() is None
    Path("away").rename(lake)
    writer.write(*named("b"))
    assert seen(events) == ["b"]


def test_a_lake_that_was_recreated_is_followed(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handle of the old table would mistake the new table's commits for its own."""
    writer.write(*named("old"))
    events = tail_of(writer.settings)
    events.last(1)
    shutil.rmtree(writer.settings.lake)
    again = Writer(partitions=[2])
    monkeypatch.setattr(table, "REOPEN_S", 0.0)
    again.write(*named("new"), partition=2)
    assert seen(events) == ["new"]


def test_a_poll_that_failed_to_read_a_file_can_be_repeated(writer: Writer) -> None:
    writer.write(*named("a"))
    events = tail_of(writer.settings)
    events.last(1)
    writer.write(*named("b"))
    newest = max(
        Path(writer.settings.lake, "events").rglob("*.parquet"),
        key=lambda file: file.stat().st_mtime_ns,
    )
    newest.rename("hidden")
    with pytest.raises(StorageUnavailable):
        events.poll()
    Path("hidden").rename(newest)
    assert seen(events) == ["b"]


def test_a_large_commit_is_returned_in_order(writer: Writer) -> None:
    events = tail_of(writer.settings)
    events.last(1)
    writer.write(*named(*range(5_001)))
    assert seen(events) == [str(n) for n in range(5_001)]


def test_a_poll_without_a_new_commit_lists_no_files(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.write(*named("a"))
    events = tail_of(writer.settings)
    events.last(1)
    monkeypatch.setattr(Snapshot, "of", None)
    assert seen(events) == []


def test_only_new_files_are_read(writer: Writer) -> None:
    writer.write(*named("a"))
    events = tail_of(writer.settings)
    events.last(1)
    for file in Path(writer.settings.lake, "events").rglob("*.parquet"):
        file.write_bytes(b"no longer Parquet")
    writer.write(*named("b"))
    assert seen(events) == ["b"]


def test_a_lake_on_s3_is_followed(s3_settings: Settings) -> None:
    writer = Writer(s3_settings)
    writer.write(*named("a"))
    events = tail_of(s3_settings)
    assert last(events, 2) == ["a"]
    writer.write(*named("b"))
    writer.storage.open("events").optimize.compact()
    assert seen(events) == ["b"]
