"""Under any commits, maintenance and restarts each row is read once, in order."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pyarrow.compute as pc
import pytest
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from semloop.delta import table
from semloop.delta.streams import Partition
from semloop.errors import TopicChanged
from semloop.storage.location import Storage
from sources.lake import ordered_rows
from sources.lake.read_plan import OffsetRange, PlannedFile, group_files
from sources.lake.reader import LakeReader
from tests.sinks.compacting import compact
from tests.sources.events_table import EventsTable, open_reader
from tests.support.builders import LOG, NOW
from tests.support.examples import examples

pytestmark = pytest.mark.slow

Offsets = dict[Partition, list[int]]
NEWER = replace(LOG, topic_id="topic-0")
HOURS = timedelta(hours=9)
# True if a new topic id starts; per partition, the gap before each row; and a final gap
# that only the committed position covers.
commits = st.tuples(
    st.just("commit"),
    st.integers(0, 3).map(lambda n: n == 0),
    st.lists(st.integers(0, 3), max_size=4),
    st.lists(st.integers(0, 3), max_size=2),
    st.integers(0, 2),
)
others = st.sampled_from(
    ["poll", "poll", "poll", "read_to_end", "restart", "merge", "compact", "rewrite", "vacuum",
     "retain", "checkpoint"]
).map(lambda name: (name,))  # fmt: skip
steps = st.lists(st.one_of(commits, commits, others, others), max_size=16)


class World:
    """A lake, its writers and a consumer, with the committed and the read offsets."""

    def __init__(self, folder: str, rows_max: int) -> None:
        self.storage = Storage(folder)
        self.rows_max = rows_max
        self.writers = [EventsTable(self.storage, step=HOURS)]
        self.committed: Offsets = {Partition(LOG.topic_id, p): [] for p in (0, 1)}
        self.reached = dict.fromkeys(self.committed, -1)
        self.removed: set[tuple[Partition, int]] = set()
        self.read: Offsets = {}
        self.positions: dict[Partition, int] = {}
        self.reader: LakeReader = open_reader(self.storage, rows_max=rows_max)

    def commit(
        self, newer: bool, first: list[int], second: list[int], gap: int
    ) -> None:
        if newer and len(self.writers) == 1:
            self.writers.append(EventsTable(self.storage, NEWER, step=HOURS))
            self.committed |= {Partition(NEWER.topic_id, p): [] for p in (0, 1)}
            self.reached |= {Partition(NEWER.topic_id, p): -1 for p in (0, 1)}
        writer = self.writers[-1]
        rows = []
        for partition, gaps in enumerate((first, second)):
            origin = Partition(writer.log.topic_id, partition)
            for skipped in gaps:
                self.reached[origin] += 1 + skipped
                self.committed[origin].append(self.reached[origin])
                rows.append((partition, self.reached[origin]))
        first_one = Partition(writer.log.topic_id, 0)
        self.reached[first_one] += gap
        writer.commit(
            *rows,
            reached={0: self.reached[first_one]} if gap else None,
            caught_up={0: len(self.committed[first_one])},
        )

    def poll(self) -> bool:
        """Record the rows of one poll; True if the snapshot is read completely."""
        try:
            polled = self.reader.poll()
        except TopicChanged:
            self.restart()
            return False
        rows = polled.events.select(["topic_id", "kafka_partition", "kafka_offset"])
        for row in rows.to_pylist():
            origin = Partition(row["topic_id"], row["kafka_partition"])
            self.read.setdefault(origin, []).append(row["kafka_offset"])
            assert row["kafka_offset"] <= polled.progress.ends[origin] - 1
        self.positions |= polled.progress.positions
        return polled.progress.complete

    def read_to_end(self) -> None:
        while not self.poll():
            pass

    def restart(self) -> None:
        self.reader.close()
        self.reader = open_reader(self.storage, self.positions, self.rows_max)

    def merge(self) -> None:
        """Merge files like flow `compact`."""
        compact(self.storage)

    def compact(self) -> None:
        self.storage.open("events").optimize.compact()

    def rewrite(self) -> None:
        """Rewrite the first date, ordered by event time."""
        handle = self.storage.open("events")
        rows = handle.to_pyarrow_dataset().to_table()
        if rows.num_rows:
            date = pc.min(rows["date"])
            rows = rows.filter(pc.equal(rows["date"], date)).sort_by("ts")
            write_deltalake(
                handle, rows, mode="overwrite", predicate=f"date = '{date.as_py()}'"
            )

    def vacuum(self) -> None:
        self.writers[0].vacuum()

    def checkpoint(self) -> None:
        self.storage.open("events").create_checkpoint()

    def retain(self) -> None:
        """Delete the older half of the rows."""
        oldest = (
            max(max(committed, default=0) for committed in self.committed.values()) // 2
        )
        self.storage.open("events").delete(f"kafka_offset < {oldest}")
        self.removed |= {
            (origin, offset)
            for origin, committed in self.committed.items()
            for offset in committed
            if offset < oldest
        }


@contextmanager
def temporary_world(rows_max: int) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        yield World(folder, rows_max)


@examples(15)
@given(steps=steps, rows_max=st.integers(1, 5), bytes_max=st.sampled_from([1, 2**20]))
def test_each_row_is_read_once_and_in_order(
    steps: list[tuple[str, ...]], rows_max: int, bytes_max: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, temporary_world(rows_max) as world:
        patch.setattr(ordered_rows, "MEMORY_BYTES", bytes_max)
        patch.setattr(ordered_rows, "DECODED_ROWS", 2)
        patch.setattr(ordered_rows, "SPILL_FILES_MAX", 3)
        patch.setattr(table, "ENTRIES_MAX", 2)
        for name, *values in steps:
            getattr(world, name)(*values)
        world.read_to_end()
        world.read_to_end()
        for origin, committed in world.committed.items():
            read = world.read.get(origin, [])
            # Removed rows may have been read before.
            left = [
                offset for offset in committed if (origin, offset) not in world.removed
            ]
            assert [o for o in read if (origin, o) not in world.removed] == left
            assert read == sorted(set(read))
            assert set(read) <= set(committed)
        assert world.positions == world.reached
        assert world.reader.caught_up
        world.reader.close()


ranges = st.builds(
    lambda first, more: OffsetRange(first, first + more, more + 1),
    st.integers(0, 20),
    st.integers(0, 8),
)
planned = st.builds(
    lambda minute, ranges: (minute, ranges),
    st.integers(0, 5),
    st.dictionaries(
        st.sampled_from([("a", 0), ("a", 1), ("b", 0)]), ranges, min_size=1
    ),
)


@given(st.lists(planned, max_size=8))
def test_offsets_of_file_groups_do_not_interleave_in_a_partition(
    drawn: list[tuple[int, dict[Partition, OffsetRange]]],
) -> None:
    files = [
        PlannedFile(f"{n}", (0,), NOW + timedelta(minutes=minute), own)
        for n, (minute, own) in enumerate(drawn)
    ]
    groups = group_files(files)
    grouped = [file.path for group in groups for file in group.files]
    assert sorted(grouped) == sorted(file.path for file in files)
    reached: dict[Partition, int] = {}
    for group in groups:
        assert group.rows == sum(
            offsets.rows for file in group.files for offsets in file.ranges.values()
        )
        for file in group.files:
            for origin, offsets in file.ranges.items():
                assert offsets.first > reached.get(origin, -1)
        for file in group.files:
            for origin, offsets in file.ranges.items():
                reached[origin] = max(offsets.last, reached.get(origin, -1))
        assert group.reached == reached
