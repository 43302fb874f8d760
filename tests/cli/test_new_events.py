"""Each event once, whatever writers and maintainers do between two looks."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from semloop import tables
from semloop.command.cli import new_events
from semloop.command.cli.new_events import NewEvents
from semloop.delta import table
from semloop.delta.snapshot import Snapshot
from semloop.errors import StorageUnavailable
from semloop.settings import Settings, load
from tests.builders import NOW, an_event
from tests.cli.helpers import Writer
from tests.sinks.maintenance import MAINTENANCE


@pytest.fixture
def writer() -> Writer:
    return Writer()


def tail_of(settings: Settings, where: str = "true", *values: object) -> NewEvents:
    return NewEvents(settings, ["agent"], where, values)


def named(*names: object, **fields: Any) -> list[dict[str, Any]]:
    return [an_event(agent=f"{name}", **fields) for name in names]


def seen(events: NewEvents) -> list[str]:
    return [str(agent) for (agent,) in events.poll() or ()]


def last(events: NewEvents, count: int) -> list[str]:
    return [str(agent) for (agent,) in events.last(count)]


def test_the_last_come_first_and_then_what_is_new(writer: Writer) -> None:
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


def test_the_last_are_found_however_rare_they_are(
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


def test_an_old_row_in_a_new_file_is_not_the_last(
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


def test_files_without_statistics_hold_the_last_too(
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


def test_a_worker_whose_clock_is_behind_loses_nothing(writer: Writer) -> None:
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
def test_maintenance_repeats_and_hides_nothing(writer: Writer, name: str) -> None:
    writer.write(*named("a"))
    writer.write(*named("b"), partition=1)
    events = tail_of(writer.settings)
    assert last(events, 1) == ["b"]
    # Its first offset is 0 in one partition, and new rows are rewritten with old ones.
    writer.write(*named("c"), partition=1)
    MAINTENANCE[name](writer.storage.open("events"))
    assert seen(events) == ["c"]
    writer = Writer(writer.settings)
    writer.write(*named("d"))
    MAINTENANCE[name](writer.storage.open("events"))
    assert seen(events) == ["d"]
    assert seen(events) == []


def test_a_filter_hides_events_for_good(writer: Writer) -> None:
    writer.write(*named("x"))
    events = tail_of(writer.settings, "agent <> ?", "x")
    assert last(events, 5) == []
    writer.write(*named("x", "y"))
    assert seen(events) == ["y"]
    writer.storage.open("events").optimize.compact()
    assert seen(events) == []


def test_a_session_keeps_its_order_and_partitions_are_merged(writer: Writer) -> None:
    events = tail_of(writer.settings)
    events.last(1)
    # A producer's clock that runs back, beside a partition that goes on.
    for n, (partition, minutes) in enumerate([(0, 1), (0, 0), (1, 3), (0, 5), (1, 9)]):
        then = NOW + timedelta(minutes=minutes)
        writer.write(*named(n), partition=partition, kafka_ts=then)
    assert seen(events) == ["0", "1", "2", "3", "4"]


def test_a_lake_that_is_made_later_is_seen() -> None:
    events = tail_of(load())
    assert events.last(3) == []
    assert events.poll() is None
    Writer().write(*named("a"))
    assert seen(events) == ["a"]


def test_a_lake_that_is_away_for_a_moment_loses_nothing(writer: Writer) -> None:
    writer.write(*named("a"))
    events = tail_of(writer.settings)
    events.last(1)
    lake = Path(writer.settings.lake)
    lake.rename("away")
    assert events.poll() is None
    Path("away").rename(lake)
    writer.write(*named("b"))
    assert seen(events) == ["b"]


def test_a_lake_that_is_made_again_is_followed(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handle of the old table would take the new one's commits for its own."""
    writer.write(*named("old"))
    events = tail_of(writer.settings)
    events.last(1)
    shutil.rmtree(writer.settings.lake)
    again = Writer(partitions=[2])
    monkeypatch.setattr(table, "REOPEN_S", 0.0)
    again.write(*named("new"), partition=2)
    assert seen(events) == ["new"]


def test_a_file_that_cannot_be_read_now_is_read_later(writer: Writer) -> None:
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


def test_many_events_come_at_once_and_in_order(writer: Writer) -> None:
    events = tail_of(writer.settings)
    events.last(1)
    writer.write(*named(*range(5_001)))
    assert seen(events) == [str(n) for n in range(5_001)]


def test_nothing_is_listed_while_nothing_is_committed(
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
