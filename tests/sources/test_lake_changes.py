"""A lake that is rewritten, unavailable, replaced or extended while it is read."""

from pathlib import Path

import pytest

from semloop import layout
from semloop.delta import table as delta_table
from semloop.errors import LakeError, StorageUnavailable, TopicChanged
from semloop.retry import DAMAGED_ATTEMPTS
from semloop.settings import load
from semloop.storage.location import Storage
from sources.lake.patient_reader import PatientLakeReader
from sources.lake.reader import LakeReader
from sources.lake.streams import TopicStreams
from tests.sinks.maintenance import MAINTENANCE
from tests.sources.events_table import (
    EventsTable,
    archived,
    open_reader,
    origins,
    read_to_end,
)
from tests.support.builders import LOG, P0, P1


@pytest.mark.parametrize("name", [n for n in MAINTENANCE if n != "rows deleted"])
def test_maintenance_repeats_and_hides_no_row(table: EventsTable, name: str) -> None:
    table.commit((0, 0), (1, 0))
    table.commit((0, 1))
    reader = open_reader(table.storage, rows_max=1)
    assert [origins(reader.poll()) for _ in range(2)] == [[(0, 0)], [(1, 0)]]
    MAINTENANCE[name](table.storage.open("events"))
    assert read_to_end(reader) == [(0, 1)]
    table = EventsTable(table.storage)
    table.commit((1, 4), caught_up={1: 9})
    MAINTENANCE[name](table.storage.open("events"))
    assert read_to_end(reader) == [(1, 4)]
    assert archived(reader.poll(), P1) == (4, 9)
    assert read_to_end(reader) == []


def test_files_removed_before_they_are_read_are_listed_again(
    table: EventsTable,
) -> None:
    for offset in range(4):
        table.commit((0, 2 * offset), (1, offset))
        reader = open_reader(table.storage, rows_max=2)
    assert origins(reader.poll()) == [(0, 0), (1, 0)]
    table.storage.open("events").optimize.compact()
    table.vacuum()
    assert read_to_end(reader) == [
        (0, 2), (0, 4), (0, 6), (1, 1), (1, 2), (1, 3),
    ]  # fmt: skip


def test_rows_removed_by_retention_are_skipped(table: EventsTable) -> None:
    for offset in range(3):
        table.commit((0, offset))
    reader = open_reader(table.storage, rows_max=1)
    assert origins(reader.poll()) == [(0, 0)]
    table.storage.open("events").delete("kafka_offset < 2")
    table.vacuum()
    assert read_to_end(reader) == [(0, 2)]
    table.storage.open("events").delete("kafka_offset < 9")
    table.commit(reached={0: 5})
    assert reader.poll().progress.positions[P0] == 5


def test_a_short_storage_outage_loses_no_row(table: EventsTable) -> None:
    for offset in range(3):
        table.commit((0, offset), caught_up={0: offset})
    reader = open_reader(table.storage, rows_max=1)
    assert origins(reader.poll()) == [(0, 0)]
    root = Path(table.storage.root)
    root.rename("away")
    for _ in range(2):
        with pytest.raises(StorageUnavailable) as error:
            reader.poll()
        assert error.value.todo
    Path("away").rename(root)
    assert read_to_end(reader) == [(0, 1), (0, 2)]
    assert archived(reader.poll(), P0) == (2, 2)


def test_an_unreadable_file_is_read_after_it_is_restored(table: EventsTable) -> None:
    for offset in range(3):
        table.commit((0, offset))
    reader = open_reader(table.storage, rows_max=1)
    assert origins(reader.poll()) == [(0, 0)]
    middle = table.files()[1]
    content = middle.read_bytes()
    # Truncated, as after a disk failure.
    middle.write_bytes(content[: len(content) // 2])
    for _ in range(2):
        with pytest.raises(StorageUnavailable) as error:
            reader.poll()
        what, named, rest = str(error.value).partition(middle.name)
        assert named
        assert "0-1" not in what + rest
    middle.write_bytes(content)
    assert read_to_end(reader) == [(0, 1), (0, 2)]


def test_a_recreated_lake_is_followed(
    table: EventsTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.commit((0, 0))
    reader = open_reader(table.storage)
    read_to_end(reader)
    monkeypatch.setattr(delta_table, "REOPEN_S", 0.0)
    Path(table.storage.root).rename("old")
    again = EventsTable(table.storage)
    # The same version number, with other files and offsets.
    again.commit((0, 0), (0, 1))
    assert again.table.handle.version() == table.table.handle.version()
    assert read_to_end(reader) == [(0, 1)]
    assert archived(reader.poll(), P0) == (1, None)


def test_a_lake_with_another_layout_is_rejected(table: EventsTable) -> None:
    Path(table.storage.root, "_layout.json").write_text('{"layout": 99}')
    with pytest.raises(LakeError, match="layout 99"):
        open_reader(table.storage)


def test_a_worker_without_partitions_returns_only_empty_polls(
    table: EventsTable,
) -> None:
    table.commit((0, 0))
    streams = TopicStreams.read(table.storage, LOG.topic)
    reader = LakeReader(table.storage, streams, {})
    polled = reader.poll()
    assert (origins(polled), polled.progress.complete, reader.caught_up) == (
        [],
        True,
        True,
    )


def test_without_a_lake_polls_are_empty_until_the_topic_appears(
    storage: Storage,
) -> None:
    reader = open_reader(storage)
    polled = reader.poll()
    assert (origins(polled), polled.progress.complete, reader.caught_up) == (
        [],
        True,
        True,
    )
    EventsTable(storage)
    with pytest.raises(TopicChanged):
        reader.poll()


def test_a_new_partition_stops_the_reader_before_any_of_its_rows(
    table: EventsTable,
) -> None:
    table.commit((0, 0))
    reader = open_reader(table.storage)
    read_to_end(reader)
    EventsTable(table.storage, partitions=[2]).commit((2, 0))
    for _ in range(2):
        with pytest.raises(TopicChanged) as error:
            reader.poll()
    assert error.value.exit_code == 4
    assert str(error.value).splitlines() == [
        "Topic 'agent-events' was recreated, or partitions were added.",
        "Restart the flow to read the new partitions.",
    ]
    assert read_to_end(open_reader(table.storage, {P0: 0})) == [(2, 0)]


def test_a_reader_waits_while_the_disk_of_the_lake_is_not_mounted(
    table: EventsTable, tmp_path: Path
) -> None:
    layout.bind(table.storage)
    for offset in range(4):
        table.commit((0, offset))
    reader = PatientLakeReader(
        open_reader(table.storage, rows_max=1), load({}, lake=table.storage.root)
    )
    assert origins(reader.poll()) == [(0, 0)]
    mounted, lake = tmp_path / "mounted", Path(table.storage.root)
    lake.rename(mounted)
    lake.mkdir()
    for _ in range(2 * DAMAGED_ATTEMPTS):
        assert origins(reader.poll()) == []
    lake.rmdir()
    mounted.rename(lake)
    assert [origins(reader.poll()) for _ in range(2)] == [[(0, 1)], [(0, 2)]]
