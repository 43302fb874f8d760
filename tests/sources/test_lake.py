"""New rows of `events` are read once and in order."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from schemas.arrow import EVENTS
from semloop import tables
from semloop.delta.snapshot import Snapshot
from semloop.delta.streams import Partition
from semloop.errors import StorageUnavailable
from semloop.settings import Settings
from semloop.storage.location import Storage
from sources.lake.reader import LakeReader
from sources.lake.streams import TopicStreams
from tests.sources.events_table import (
    EventsTable,
    archived,
    open_reader,
    origins,
    read_to_end,
)
from tests.support.builders import LOG, P0, P1


def test_a_backlog_is_read_in_offset_order(table: EventsTable) -> None:
    table.commit((0, 0), (1, 0), (0, 1))
    table.commit((1, 1), (0, 5), (1, 3), caught_up={0: 700})
    polled = open_reader(table.storage).poll()
    assert origins(polled) == [(0, 0), (0, 1), (0, 5), (1, 0), (1, 1), (1, 3)]
    assert polled.progress.complete
    assert polled.progress.positions == {P0: 5, P1: 3}
    assert (archived(polled, P0), archived(polled, P1)) == ((5, 700), (3, None))


def test_rows_have_all_columns(table: EventsTable) -> None:
    # An hour before midnight UTC: other time zones already have the next date.
    table.now = datetime(2026, 11, 21, 23, tzinfo=UTC)
    row = table.row(0, 3)
    table.commit((0, 3))
    events = open_reader(table.storage).poll().events
    assert events.schema == EVENTS
    (found,) = events.to_pylist()
    assert found == dict.fromkeys(EVENTS.names) | row


def test_a_poll_returns_at_most_rows_max(table: EventsTable) -> None:
    table.commit(*((p, o) for p in (0, 1) for o in range(5)))
    table.commit((0, 5), (1, 5))
    reader = open_reader(table.storage, rows_max=4)
    polls = [reader.poll() for _ in range(4)]
    assert [origins(polled) for polled in polls] == [
        [(0, 0), (0, 1), (0, 2), (0, 3)],
        [(0, 4), (1, 0), (1, 1), (1, 2)],
        [(1, 3), (1, 4)],
        [(0, 5), (1, 5)],
    ]
    assert [polled.progress.complete for polled in polls] == [False, False, False, True]
    assert [dict(polled.progress.positions) for polled in polls] == [
        {P0: 3}, {P0: 4, P1: 2}, {P1: 4}, {P0: 5, P1: 5},
    ]  # fmt: skip


def test_reading_starts_after_the_positions(table: EventsTable) -> None:
    table.commit(*((p, o) for p in (0, 1) for o in range(5)))
    reader = open_reader(table.storage, {P0: 3, P1: 4})
    assert origins(reader.poll()) == [(0, 4)]


def test_positions_advance_past_offsets_without_rows(table: EventsTable) -> None:
    table.commit((0, 2), reached={0: 9, 1: 4})
    reader = open_reader(table.storage)
    assert reader.poll().progress.positions == {P0: 9, P1: 4}
    table.commit(reached={0: 12}, caught_up={0: 5})
    polled = reader.poll()
    assert (origins(polled), polled.progress.complete) == ([], True)
    assert polled.progress.positions == {P0: 12, P1: 4}
    assert archived(polled, P0) == (12, 5)


def test_rows_committed_while_a_snapshot_is_read_are_in_the_next(
    table: EventsTable,
) -> None:
    table.commit((0, 0), (0, 1), caught_up={0: 1})
    reader = open_reader(table.storage, rows_max=1)
    assert origins(reader.poll()) == [(0, 0)]
    table.commit((0, 2), caught_up={0: 2})
    polled = reader.poll()
    assert (origins(polled), polled.progress.complete) == ([(0, 1)], True)
    assert archived(polled, P0) == (1, 1)
    assert reader.caught_up
    polled = reader.poll()
    assert (origins(polled), polled.progress.complete) == ([(0, 2)], True)
    assert archived(polled, P0) == (2, 2)


def test_the_end_is_as_old_as_the_look_at_the_table(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a snapshot may take long; what came in the meantime is not read."""
    table.commit((0, 0), (0, 1))
    reader = open_reader(table.storage, rows_max=1)
    seen = []
    for now_ms in (1_000, 2_000, 3_000):
        monkeypatch.setattr("time.time_ns", lambda ms=now_ms: ms * 1_000_000)
        seen.append(reader.poll().progress.seen_ms)
    assert seen == [1_000, 1_000, 3_000]


def test_an_empty_poll_repeats_the_progress_of_the_snapshot(table: EventsTable) -> None:
    table.commit((0, 0), caught_up={0: 1})
    reader = open_reader(table.storage)
    reader.poll()
    empty_poll = reader.poll()
    assert empty_poll.events.schema == EVENTS
    assert (
        origins(empty_poll),
        dict(empty_poll.progress.positions),
        empty_poll.progress.complete,
    ) == (
        [],
        {},
        True,
    )
    assert archived(empty_poll, P0) == (0, 1)


def test_a_position_beyond_the_table_never_decreases(table: EventsTable) -> None:
    table.commit((0, 3))
    reader = open_reader(table.storage, {P0: 7})
    assert reader.poll().progress.positions == {P0: 7, P1: -1}
    table.commit((0, 7), (0, 8))
    assert origins(reader.poll()) == [(0, 8)]


def test_files_without_new_rows_are_not_opened(table: EventsTable) -> None:
    table.commit((0, 0), (1, 0))
    table.commit((0, 9))
    for file in table.files():
        file.write_bytes(b"no longer Parquet")
    table.commit((0, 10), (1, 1))
    reader = open_reader(table.storage, {P0: 9, P1: 0})
    assert origins(reader.poll()) == [(0, 10), (1, 1)]


def test_files_of_other_workers_and_topics_are_not_opened(table: EventsTable) -> None:
    table.commit((0, 0), (0, 5))
    again = replace(LOG, topic_id="topic-2")
    EventsTable(table.storage, again).commit((1, 9))
    streams = TopicStreams.read(table.storage, LOG.topic)
    for file in table.files():
        file.write_bytes(b"no longer Parquet")
    polled = LakeReader(table.storage, streams, {P1: -1}).poll()
    assert (origins(polled), polled.progress.complete) == ([], True)
    for origin in (P0, Partition("topic-2", 1)):
        with pytest.raises(StorageUnavailable):
            LakeReader(table.storage, streams, {origin: -1}).poll()


def test_only_new_files_are_opened(table: EventsTable) -> None:
    table.commit((0, 0), (1, 100))
    reader = open_reader(table.storage)
    read_to_end(reader)
    for file in table.files():
        file.write_bytes(b"no longer Parquet")
    # By its statistics the first file could also contain offset 1 of partition 0.
    table.commit((0, 1), (1, 101))
    assert origins(reader.poll()) == [(0, 1), (1, 101)]


def test_files_are_not_listed_without_a_new_commit(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.commit((0, 0))
    reader = open_reader(table.storage)
    read_to_end(reader)
    monkeypatch.setattr(Snapshot, "of", None)
    assert origins(reader.poll()) == []


def test_files_without_statistics_are_read(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        tables.TABLES, "events", replace(tables.TABLES["events"], statistics=())
    )
    table.commit((0, 0), (1, 0))
    table.commit((0, 1))
    assert read_to_end(open_reader(table.storage, {P1: 0})) == [(0, 0), (0, 1)]


def test_columns_that_a_file_lacks_are_null_and_unknown_ones_are_left_out(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.commit((0, 0))
    file = table.files()[0]
    duckdb.sql(
        f"COPY (SELECT * EXCLUDE (tags), 1 AS later FROM read_parquet('{file}'))"
        f" TO '{file}.new' (FORMAT parquet)"
    )
    Path(f"{file}.new").replace(file)
    events = open_reader(table.storage).poll().events
    assert events.schema == EVENTS
    assert events["tags"].to_pylist() == [None]
    assert events["event_id"].to_pylist() == ["0-0"]


def test_reading_on_s3_is_the_same(s3_settings: Settings) -> None:
    storage = Storage.of(s3_settings)
    table = EventsTable(storage)
    table.commit((0, 0), (1, 0))
    table.commit((0, 1), caught_up={0: 3})
    reader = open_reader(storage, rows_max=1)
    assert origins(reader.poll()) == [(0, 0)]
    storage.open("events").optimize.compact()
    table.vacuum()
    assert read_to_end(reader) == [(1, 0), (0, 1)]
    table = EventsTable(storage)
    table.commit((1, 1))
    polled = reader.poll()
    assert (origins(polled), polled.progress.complete) == ([(1, 1)], True)
    assert archived(polled, P0) == (1, 3)
