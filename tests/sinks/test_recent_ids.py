"""`recent_ids` reads the ids that fill the dedupe windows at a start."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from schemas.batches import Progress
from semloop.delta.query import WriterQueries
from semloop.storage.location import Storage
from sinks.compaction.log_entry import Outcome
from tests.sinks.archive_builder import IDS, Archive, named
from tests.sinks.compacting import compact
from tests.sources.events_table import EventsTable
from tests.support.builders import LOG, NOW, decoded_rows, keyed


def test_recent_ids_are_the_newest_in_order(tmp_path: Path) -> None:
    archive = Archive(tmp_path, dedupe_ids=3, dedupe_hours=1.0).started()
    for offset in range(5):
        rows = decoded_rows(
            [(0, offset), (1, offset)], [], {0: offset, 1: offset}, last=True
        )
        archive.loop.add(named(rows, IDS[offset], IDS[50 + offset], redelivered=False))
    again = Archive(tmp_path, dedupe_ids=3).started()
    ms = int(NOW.timestamp() * 1000)
    assert again.tables.recent_ids() == {
        0: (IDS[2:5], [ms] * 3),
        1: (IDS[52:55], [ms] * 3),
    }


def test_recent_ids_are_not_older_than_their_window(tmp_path: Path) -> None:
    archive = Archive(tmp_path).started()
    for offset, hours in enumerate((0, 1, 2, 3)):
        rows = named(
            decoded_rows([(0, offset)], [], {0: offset}), IDS[offset], redelivered=False
        )
        # Its producer's clock is off the other way.
        at = rows.events.schema.get_field_index("kafka_ts")
        ts = pa.array([NOW - timedelta(hours=9 * hours)], pa.timestamp("us", "UTC"))
        rows = replace(rows, events=rows.events.set_column(at, "kafka_ts", ts))
        archive.now = NOW.timestamp() + 3_600 * hours
        archive.loop.add(
            replace(rows, progress=Progress(keyed({0: offset}), last=True))
        )
    again = Archive(tmp_path, dedupe_hours=1.5).started()
    found = again.tables.recent_ids()
    assert found[0][0] == IDS[2:4]
    assert found[1] == ([], [])


def test_more_files_are_read_until_every_window_is_full(tmp_path: Path) -> None:
    archive = Archive(tmp_path, dedupe_ids=2).started()
    archive.now += 0.000_123  # Not a whole number of milliseconds.
    for offset in range(4):
        # Partition 1 has rows in the oldest files only.
        origins = [(0, offset)] if offset > 1 else [(0, offset), (1, offset)]
        rows = decoded_rows(origins, [], {p: o for p, o in origins}, last=True)
        names = [IDS[10 * partition + offset] for partition, _ in origins]
        archive.loop.add(named(rows, *names, redelivered=False))
    again = Archive(tmp_path, dedupe_ids=2).started()
    found = {p: ids for p, (ids, _) in again.tables.recent_ids().items()}
    assert found == {0: IDS[2:4], 1: IDS[10:12]}


def test_rows_ingested_before_the_window_are_not_read(tmp_path: Path) -> None:
    archive = Archive(tmp_path).started()
    for partition, hours in ((0, 0), (1, 25)):
        archive.now += 3600 * hours
        rows = decoded_rows([(partition, 0)], [], {partition: 0}, last=True)
        archive.loop.add(named(rows, IDS[partition], redelivered=False))
    found = Archive(tmp_path).started().tables.recent_ids()
    assert (found[0][0], found[1][0]) == ([], [IDS[1]])


def test_a_compaction_changes_neither_window_nor_position(tmp_path: Path) -> None:
    archive = Archive(tmp_path, dedupe_ids=3).started()
    for offset in range(5):
        rows = decoded_rows(
            [(0, offset), (1, offset)], [], {0: offset, 1: offset}, last=True
        )
        archive.loop.add(named(rows, IDS[offset], IDS[50 + offset], redelivered=False))
        if offset == 2:
            assert compact(archive.storage) == [Outcome.COMMITTED]
    before = Archive(tmp_path, dedupe_ids=3).started()
    found = before.tables.recent_ids()
    assert found[0][0] == IDS[2:5]
    assert compact(archive.storage) == [Outcome.COMMITTED]
    after = Archive(tmp_path, dedupe_ids=3).started()
    assert after.tables.recent_ids() == found
    assert after.tables.take_over() == keyed({0: 4, 1: 4})


def test_a_compacted_file_of_two_writers_does_not_hide_newer_rows(
    storage: Storage,
) -> None:
    slow = EventsTable(storage, partitions=[0], step=timedelta(seconds=1))
    fast = EventsTable(storage, partitions=[1], step=timedelta(seconds=1))
    fast.now += timedelta(seconds=20)
    for offset in range(10):
        slow.commit((0, offset))
        fast.commit((1, offset))
    assert compact(storage) == [Outcome.COMMITTED]
    for offset in range(10, 15):
        slow.commit((0, offset))
    owner = EventsTable(storage).table
    found = WriterQueries(storage).newest_keys(owner, LOG.topic_id, 5, 3_600_000)
    assert found[0][0] == [f"0-{offset}" for offset in range(10, 15)]
    assert found[1][0] == [f"1-{offset}" for offset in range(5, 10)]
