"""Any commits, maintenance and restarts: each partition's rows once, in order."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pyarrow.compute as pc
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from semloop.delta import table
from semloop.delta.streams import Partition
from semloop.errors import TopicChanged
from semloop.storage.location import Storage
from sources.lake import ordered_rows
from sources.lake.read_plan import Part, Span, runs_of
from sources.lake.reader import LakeReader
from tests.builders import LOG, NOW
from tests.sources.an_events_table import EventsTable, reader_of

Offsets = dict[Partition, list[int]]
NEWER = replace(LOG, topic_id="topic-0")
HOURS = timedelta(hours=9)
# Which writer commits, and for each partition the gaps before its rows, none for no row;
# the last number is a gap that nothing but the position passes.
commits = st.tuples(
    st.just("commit"),
    st.integers(0, 3).map(lambda n: n == 0),
    st.lists(st.integers(0, 3), max_size=4),
    st.lists(st.integers(0, 3), max_size=2),
    st.integers(0, 2),
)
others = st.sampled_from(
    ["poll", "poll", "poll", "look", "restart", "compact", "rewrite", "vacuum",
     "retain", "checkpoint"]
).map(lambda name: (name,))  # fmt: skip
steps = st.lists(st.one_of(commits, commits, others, others), max_size=16)


class World:
    """A lake, its writers and a consumer; what was committed, and what was seen."""

    def __init__(self, folder: str, rows_max: int) -> None:
        self.storage = Storage(folder)
        self.rows_max = rows_max
        self.writers = [EventsTable(self.storage, step=HOURS)]
        self.made: Offsets = {Partition(LOG.topic_id, p): [] for p in (0, 1)}
        self.reached = dict.fromkeys(self.made, -1)
        self.taken: set[tuple[Partition, int]] = set()
        self.seen: Offsets = {}
        self.positions: dict[Partition, int] = {}
        self.reader: LakeReader = reader_of(self.storage, rows_max=rows_max)

    def commit(
        self, newer: bool, first: list[int], second: list[int], gap: int
    ) -> None:
        if newer and len(self.writers) == 1:
            self.writers.append(EventsTable(self.storage, NEWER, step=HOURS))
            self.made |= {Partition(NEWER.topic_id, p): [] for p in (0, 1)}
            self.reached |= {Partition(NEWER.topic_id, p): -1 for p in (0, 1)}
        writer = self.writers[-1]
        rows = []
        for partition, gaps in enumerate((first, second)):
            origin = Partition(writer.log.topic_id, partition)
            for skipped in gaps:
                self.reached[origin] += 1 + skipped
                self.made[origin].append(self.reached[origin])
                rows.append((partition, self.reached[origin]))
        first_one = Partition(writer.log.topic_id, 0)
        self.reached[first_one] += gap
        writer.commit(
            *rows,
            reached={0: self.reached[first_one]} if gap else None,
            caught_up={0: len(self.made[first_one])},
        )

    def poll(self) -> bool:
        """Hand on one poll; whether the snapshot is at its end."""
        try:
            polled = self.reader.poll()
        except TopicChanged:
            self.restart()
            return False
        rows = polled.events.select(["topic_id", "kafka_partition", "kafka_offset"])
        for row in rows.to_pylist():
            origin = Partition(row["topic_id"], row["kafka_partition"])
            self.seen.setdefault(origin, []).append(row["kafka_offset"])
            assert row["kafka_offset"] <= polled.progress.ends[origin] - 1
        self.positions |= polled.progress.positions
        return polled.progress.complete

    def look(self) -> None:
        while not self.poll():
            pass

    def restart(self) -> None:
        self.reader.close()
        self.reader = reader_of(self.storage, self.positions, self.rows_max)

    def compact(self) -> None:
        self.storage.open("events").optimize.compact()

    def rewrite(self) -> None:
        """Write the first date anew, in the order of the events' times."""
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
        """Take the older half of what is there."""
        oldest = max(max(made, default=0) for made in self.made.values()) // 2
        self.storage.open("events").delete(f"kafka_offset < {oldest}")
        self.taken |= {
            (origin, offset)
            for origin, made in self.made.items()
            for offset in made
            if offset < oldest
        }


@contextmanager
def a_world(rows_max: int) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        yield World(folder, rows_max)


@settings(max_examples=40)
@given(steps=steps, rows_max=st.integers(1, 5), bytes_max=st.sampled_from([1, 2**20]))
def test_each_row_comes_once_and_in_order(
    steps: list[tuple[str, ...]], rows_max: int, bytes_max: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, a_world(rows_max) as world:
        patch.setattr(ordered_rows, "MEMORY_BYTES", bytes_max)
        patch.setattr(ordered_rows, "DECODED_ROWS", 2)
        patch.setattr(ordered_rows, "WINDOWS_MAX", 3)
        patch.setattr(table, "ENTRIES_MAX", 2)
        for name, *values in steps:
            getattr(world, name)(*values)
        world.look()
        world.look()
        for origin, made in world.made.items():
            seen = world.seen.get(origin, [])
            # What retention took may have been seen before.
            left = [offset for offset in made if (origin, offset) not in world.taken]
            assert [o for o in seen if (origin, o) not in world.taken] == left
            assert seen == sorted(set(seen))
            assert set(seen) <= set(made)
        assert world.positions == world.reached
        assert world.reader.caught_up
        world.reader.close()


spans = st.builds(
    lambda first, more: Span(first, first + more, more + 1),
    st.integers(0, 20),
    st.integers(0, 8),
)
parts = st.builds(
    lambda minute, spans: (minute, spans),
    st.integers(0, 5),
    st.dictionaries(st.sampled_from([("a", 0), ("a", 1), ("b", 0)]), spans, min_size=1),
)


@given(st.lists(parts, max_size=8))
def test_runs_follow_one_another_in_every_partition(
    made: list[tuple[int, dict[Partition, Span]]],
) -> None:
    files = [
        Part(f"{n}", (0,), NOW + timedelta(minutes=minute), spans)
        for n, (minute, spans) in enumerate(made)
    ]
    runs = runs_of(files)
    taken = [part.path for run in runs for part in run.parts]
    assert sorted(taken) == sorted(file.path for file in files)
    reached: dict[Partition, int] = {}
    for run in runs:
        assert run.rows == sum(
            s.rows for part in run.parts for s in part.spans.values()
        )
        for part in run.parts:
            for origin, span in part.spans.items():
                assert span.first > reached.get(origin, -1)
        for part in run.parts:
            for origin, span in part.spans.items():
                reached[origin] = max(span.last, reached.get(origin, -1))
        assert run.reached == reached
