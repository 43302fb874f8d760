"""New rows of `events`, each once and in order, whatever happens to the lake meanwhile."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from schemas.arrow import EVENTS
from schemas.batches import PolledEvents
from semloop import tables
from semloop.delta import table as delta_table
from semloop.delta.snapshot import Snapshot
from semloop.delta.streams import Partition
from semloop.errors import LakeError, StorageUnavailable, TopicChanged
from semloop.settings import Settings
from semloop.storage.location import Storage
from sources.lake.reader import LakeReader
from sources.lake.streams import TopicStreams
from tests.builders import LOG
from tests.sinks.maintenance import MAINTENANCE
from tests.sources.an_events_table import EventsTable, origins, reader_of, to_the_end

P0, P1 = Partition("topic-1", 0), Partition("topic-1", 1)


def archived(polled: PolledEvents, partition: Partition) -> tuple[int, int | None]:
    """Last offset that `archive` has committed, and when it was last caught up."""
    progress = polled.progress
    return progress.ends[partition] - 1, progress.caught_up_ms.get(partition)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "la ke ü"))


@pytest.fixture
def table(storage: Storage) -> EventsTable:
    return EventsTable(storage)


def test_a_backlog_comes_in_the_order_of_offsets(table: EventsTable) -> None:
    table.commit((0, 0), (1, 0), (0, 1))
    table.commit((1, 1), (0, 5), (1, 3), caught_up={0: 700})
    polled = reader_of(table.storage).poll()
    assert origins(polled) == [(0, 0), (0, 1), (0, 5), (1, 0), (1, 1), (1, 3)]
    assert polled.progress.complete
    assert polled.progress.positions == {P0: 5, P1: 3}
    assert (archived(polled, P0), archived(polled, P1)) == ((5, 700), (3, None))


def test_rows_are_whole(table: EventsTable) -> None:
    # An hour before midnight, which other time zones have behind them.
    table.now = datetime(2026, 11, 21, 23, tzinfo=UTC)
    row = table.row(0, 3)
    table.commit((0, 3))
    events = reader_of(table.storage).poll().events
    assert events.schema == EVENTS
    (found,) = events.to_pylist()
    assert found == dict.fromkeys(EVENTS.names) | row


def test_no_poll_is_larger_than_asked_for(table: EventsTable) -> None:
    table.commit(*((p, o) for p in (0, 1) for o in range(5)))
    table.commit((0, 5), (1, 5))
    reader = reader_of(table.storage, rows_max=4)
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


def test_reading_goes_on_behind_the_positions(table: EventsTable) -> None:
    table.commit(*((p, o) for p in (0, 1) for o in range(5)))
    reader = reader_of(table.storage, {P0: 3, P1: 4})
    assert origins(reader.poll()) == [(0, 4)]


def test_offsets_without_rows_are_passed(table: EventsTable) -> None:
    table.commit((0, 2), reached={0: 9, 1: 4})
    reader = reader_of(table.storage)
    assert reader.poll().progress.positions == {P0: 9, P1: 4}
    table.commit(reached={0: 12}, caught_up={0: 5})
    polled = reader.poll()
    assert (origins(polled), polled.progress.complete) == ([], True)
    assert polled.progress.positions == {P0: 12, P1: 4}
    assert archived(polled, P0) == (12, 5)


def test_what_is_committed_while_a_snapshot_is_read_comes_with_the_next(
    table: EventsTable,
) -> None:
    table.commit((0, 0), (0, 1), caught_up={0: 1})
    reader = reader_of(table.storage, rows_max=1)
    assert origins(reader.poll()) == [(0, 0)]
    table.commit((0, 2), caught_up={0: 2})
    polled = reader.poll()
    assert (origins(polled), polled.progress.complete) == ([(0, 1)], True)
    assert archived(polled, P0) == (1, 1)
    assert reader.caught_up
    polled = reader.poll()
    assert (origins(polled), polled.progress.complete) == ([(0, 2)], True)
    assert archived(polled, P0) == (2, 2)


def test_a_tick_says_again_how_far_the_snapshot_is(table: EventsTable) -> None:
    table.commit((0, 0), caught_up={0: 1})
    reader = reader_of(table.storage)
    reader.poll()
    tick = reader.poll()
    assert tick.events.schema == EVENTS
    assert (origins(tick), dict(tick.progress.positions), tick.progress.complete) == (
        [],
        {},
        True,
    )
    assert archived(tick, P0) == (0, 1)


def test_a_position_beyond_the_table_never_goes_back(table: EventsTable) -> None:
    table.commit((0, 3))
    reader = reader_of(table.storage, {P0: 7})
    assert reader.poll().progress.positions == {P0: 7, P1: -1}
    table.commit((0, 7), (0, 8))
    assert origins(reader.poll()) == [(0, 8)]


def test_files_without_new_rows_are_not_opened(table: EventsTable) -> None:
    table.commit((0, 0), (1, 0))
    table.commit((0, 9))
    for file in table.files():
        file.write_bytes(b"no longer Parquet")
    table.commit((0, 10), (1, 1))
    reader = reader_of(table.storage, {P0: 9, P1: 0})
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
    reader = reader_of(table.storage)
    to_the_end(reader)
    for file in table.files():
        file.write_bytes(b"no longer Parquet")
    # By its bounds the first file could hold offset 1 of partition 0 as well.
    table.commit((0, 1), (1, 101))
    assert origins(reader.poll()) == [(0, 1), (1, 101)]


def test_nothing_is_listed_while_nothing_is_committed(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.commit((0, 0))
    reader = reader_of(table.storage)
    to_the_end(reader)
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
    assert to_the_end(reader_of(table.storage, {P1: 0})) == [(0, 0), (0, 1)]


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
    events = reader_of(table.storage).poll().events
    assert events.schema == EVENTS
    assert events["tags"].to_pylist() == [None]
    assert events["event_id"].to_pylist() == ["0-0"]


@pytest.mark.parametrize("name", [n for n in MAINTENANCE if n != "rows deleted"])
def test_maintenance_repeats_and_hides_nothing(table: EventsTable, name: str) -> None:
    table.commit((0, 0), (1, 0))
    table.commit((0, 1))
    reader = reader_of(table.storage, rows_max=1)
    assert [origins(reader.poll()) for _ in range(2)] == [[(0, 0)], [(1, 0)]]
    MAINTENANCE[name](table.storage.open("events"))
    assert to_the_end(reader) == [(0, 1)]
    table = EventsTable(table.storage)
    table.commit((1, 4), caught_up={1: 9})
    MAINTENANCE[name](table.storage.open("events"))
    assert to_the_end(reader) == [(1, 4)]
    assert archived(reader.poll(), P1) == (4, 9)
    assert to_the_end(reader) == []


def test_files_that_go_before_they_are_read_are_looked_for_anew(
    table: EventsTable,
) -> None:
    for offset in range(4):
        table.commit((0, 2 * offset), (1, offset))
        reader = reader_of(table.storage, rows_max=2)
    assert origins(reader.poll()) == [(0, 0), (1, 0)]
    table.storage.open("events").optimize.compact()
    table.vacuum()
    assert to_the_end(reader) == [
        (0, 2), (0, 4), (0, 6), (1, 1), (1, 2), (1, 3),
    ]  # fmt: skip


def test_rows_that_retention_took_are_passed(table: EventsTable) -> None:
    for offset in range(3):
        table.commit((0, offset))
    reader = reader_of(table.storage, rows_max=1)
    assert origins(reader.poll()) == [(0, 0)]
    table.storage.open("events").delete("kafka_offset < 2")
    table.vacuum()
    assert to_the_end(reader) == [(0, 2)]
    table.storage.open("events").delete("kafka_offset < 9")
    table.commit(reached={0: 5})
    assert reader.poll().progress.positions[P0] == 5


def test_a_lake_that_is_away_for_a_moment_loses_nothing(table: EventsTable) -> None:
    for offset in range(3):
        table.commit((0, offset), caught_up={0: offset})
    reader = reader_of(table.storage, rows_max=1)
    assert origins(reader.poll()) == [(0, 0)]
    root = Path(table.storage.root)
    root.rename("away")
    for _ in range(2):
        with pytest.raises(StorageUnavailable) as error:
            reader.poll()
        assert error.value.todo
    Path("away").rename(root)
    assert to_the_end(reader) == [(0, 1), (0, 2)]
    assert archived(reader.poll(), P0) == (2, 2)


def test_a_file_that_cannot_be_read_now_is_read_later(table: EventsTable) -> None:
    for offset in range(3):
        table.commit((0, offset))
    reader = reader_of(table.storage, rows_max=1)
    assert origins(reader.poll()) == [(0, 0)]
    middle = table.files()[1]
    content = middle.read_bytes()
    # Cut off in the middle, as a broken disk leaves it.
    middle.write_bytes(content[: len(content) // 2])
    for _ in range(2):
        with pytest.raises(StorageUnavailable) as error:
            reader.poll()
        assert "0-1" not in str(error.value)
    middle.write_bytes(content)
    assert to_the_end(reader) == [(0, 1), (0, 2)]


def test_a_lake_that_is_made_again_is_followed(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.commit((0, 0))
    reader = reader_of(table.storage)
    to_the_end(reader)
    monkeypatch.setattr(delta_table, "REOPEN_S", 0.0)
    Path(table.storage.root).rename("old")
    again = EventsTable(table.storage)
    # The same version as before, with other files and numbers.
    again.commit((0, 0), (0, 1))
    assert again.table.handle.version() == table.table.handle.version()
    assert to_the_end(reader) == [(0, 1)]
    assert archived(reader.poll(), P0) == (1, None)


def test_a_lake_of_another_layout_is_refused(table: EventsTable) -> None:
    Path(table.storage.root, "_layout.json").write_text('{"layout": 99}')
    with pytest.raises(LakeError, match="layout 99"):
        reader_of(table.storage)


def test_a_worker_without_partitions_has_only_ticks(table: EventsTable) -> None:
    table.commit((0, 0))
    streams = TopicStreams.read(table.storage, LOG.topic)
    reader = LakeReader(table.storage, streams, {})
    polled = reader.poll()
    assert (origins(polled), polled.progress.complete, reader.caught_up) == (
        [],
        True,
        True,
    )


def test_before_the_first_flow_there_is_nothing_and_then_the_topic_is_new(
    storage: Storage,
) -> None:
    reader = reader_of(storage)
    polled = reader.poll()
    assert (origins(polled), polled.progress.complete, reader.caught_up) == (
        [],
        True,
        True,
    )
    EventsTable(storage)
    with pytest.raises(TopicChanged):
        reader.poll()


def test_a_new_partition_ends_the_reader_before_any_of_its_rows(
    table: EventsTable,
) -> None:
    table.commit((0, 0))
    reader = reader_of(table.storage)
    to_the_end(reader)
    EventsTable(table.storage, partitions=[2]).commit((2, 0))
    for _ in range(2):
        with pytest.raises(TopicChanged) as error:
            reader.poll()
    assert error.value.exit_code == 4
    assert str(error.value).splitlines() == [
        "Topic 'agent-events' was made again or got partitions.",
        "Start the flow again to read them, too.",
    ]
    assert to_the_end(reader_of(table.storage, {P0: 0})) == [(2, 0)]


def test_reading_on_s3_is_the_same(s3_settings: Settings) -> None:
    storage = Storage.of(s3_settings)
    table = EventsTable(storage)
    table.commit((0, 0), (1, 0))
    table.commit((0, 1), caught_up={0: 3})
    reader = reader_of(storage, rows_max=1)
    assert origins(reader.poll()) == [(0, 0)]
    storage.open("events").optimize.compact()
    table.vacuum()
    assert to_the_end(reader) == [(1, 0), (0, 1)]
    table = EventsTable(storage)
    table.commit((1, 1))
    polled = reader.poll()
    assert (origins(polled), polled.progress.complete) == ([(1, 1)], True)
    assert archived(polled, P0) == (1, 3)
