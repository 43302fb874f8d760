"""The lake source inside Bytewax, and its time limit for storage outages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.testing import TestingSink, cluster_main, run_main

from flows.bytewax_io import ReaderSource
from schemas.batches import PolledEvents
from semloop.errors import StorageUnavailable
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from sources.lake.patient_reader import PatientLakeReader
from sources.lake.reader import LakeReader
from sources.lake.streams import TopicStreams
from tests.sources.events_table import EventsTable, origins
from tests.support.builders import LOG


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({}, lake=str(tmp_path / "lake"), storage_retry_s=0.3)


@pytest.fixture
def table(settings: Settings) -> EventsTable:
    return EventsTable(Storage.of(settings), partitions=range(4))


Source = ReaderSource[PolledEvents]
Poll = Callable[[], PolledEvents]


def source(settings: Settings, rows_max: int = 2, **options: Any) -> Source:
    def open_reader(worker_index: int, worker_count: int) -> PatientLakeReader:
        storage = Storage.of(settings)
        streams = TopicStreams.read(storage, LOG.topic)
        owned = streams.owned(worker_index, worker_count)
        start = dict.fromkeys(owned, -1)
        reader = LakeReader(storage, streams, start, rows_max)
        return PatientLakeReader(reader, settings)

    return ReaderSource(open_reader, **options)


def flow_of(
    input_source: Source, step: Callable[[PolledEvents], None] = lambda polled: None
) -> tuple[Dataflow, list[PolledEvents]]:
    polls: list[PolledEvents] = []
    flow = Dataflow("reading")
    read = op.input("lake", flow, input_source)
    read = op.inspect("step", read, lambda _, polled: step(polled))
    op.output("polls", read, TestingSink(polls))
    return flow, polls


@pytest.mark.parametrize("workers", [1, 2, 6])
def test_rows_present_at_the_start_are_read_once(
    settings: Settings, table: EventsTable, workers: int
) -> None:
    rows = [(p, o) for o in range(3) for p in range(4)]
    table.commit(*rows[:5])
    table.commit(*rows[5:], reached={3: 9})
    flow, polls = flow_of(source(settings, until_caught_up=True))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)  # type: ignore[no-untyped-call]
    assert sorted(row for polled in polls for row in origins(polled)) == sorted(rows)
    assert [polled.progress.last for polled in polls].count(True) == workers
    positions: dict[int, int] = {}
    for polled in polls:
        positions |= {p: offset for (_, p), offset in polled.progress.positions.items()}
    assert positions == {0: 2, 1: 2, 2: 2, 3: 9}


def test_rows_committed_while_reading_are_read_without_a_restart(
    settings: Settings, table: EventsTable
) -> None:
    table.commit((0, 0))
    later = [(0, 1), (1, 0), (0, 2)]
    seen: list[tuple[int, int]] = []

    class AllRead(Exception):
        pass

    def step(polled: PolledEvents) -> None:
        seen.extend(origins(polled))
        # An empty poll: all committed rows were read.
        if not polled.events.num_rows:
            if not later:
                raise AllRead
            table.commit(later.pop(0))

    flow, _ = flow_of(source(settings), step)
    with pytest.raises(BytewaxRuntimeError):
        run_main(flow)  # type: ignore[no-untyped-call]
    assert seen == [(0, 0), (0, 1), (1, 0), (0, 2)]


def test_a_lasting_storage_outage_ends_the_flow_with_storage_unavailable(
    settings: Settings, table: EventsTable
) -> None:
    table.commit((0, 0))
    errors: list[Exception] = []
    empty_polls: list[bool] = []

    class Stopped(Exception):
        pass

    def guard(poll: Poll) -> Poll:
        def guarded() -> PolledEvents:
            try:
                return poll()
            except Exception as error:
                errors.append(error)
                raise Stopped from error

        return guarded

    def step(polled: PolledEvents) -> None:
        if polled.events.num_rows:
            Path(settings.lake).rename("away")
            reopen_table()
        else:
            empty_polls.append(polled.progress.complete)

    def reopen_table() -> None:
        patch.setattr("semloop.delta.table.REOPEN_S", 0.0)

    flow, _ = flow_of(source(settings, guard=guard), step)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(BytewaxRuntimeError):
        run_main(flow)  # type: ignore[no-untyped-call]
    assert [type(error) for error in errors] == [StorageUnavailable]
    # The source waited, and other workers continued to be scheduled.
    assert len(empty_polls) >= 2
    assert not any(empty_polls)
