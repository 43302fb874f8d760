"""The source inside Bytewax, and how long it waits for a lake that is away."""

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
from tests.builders import LOG
from tests.sources.an_events_table import EventsTable, origins


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
    made: Source, step: Callable[[PolledEvents], None] = lambda polled: None
) -> tuple[Dataflow, list[PolledEvents]]:
    polls: list[PolledEvents] = []
    flow = Dataflow("reading")
    read = op.input("lake", flow, made)
    read = op.inspect("step", read, lambda _, polled: step(polled))
    op.output("polls", read, TestingSink(polls))
    return flow, polls


@pytest.mark.parametrize("workers", [1, 2, 6])
def test_all_that_was_there_at_the_start_is_read_once(
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


def test_what_is_committed_meanwhile_comes_without_a_restart(
    settings: Settings, table: EventsTable
) -> None:
    table.commit((0, 0))
    later = [(0, 1), (1, 0), (0, 2)]
    seen: list[tuple[int, int]] = []

    class Enough(Exception):
        pass

    def step(polled: PolledEvents) -> None:
        seen.extend(origins(polled))
        # A tick: all that is there was read.
        if not polled.events.num_rows:
            if not later:
                raise Enough
            table.commit(later.pop(0))

    flow, _ = flow_of(source(settings), step)
    with pytest.raises(BytewaxRuntimeError):
        run_main(flow)  # type: ignore[no-untyped-call]
    assert seen == [(0, 0), (0, 1), (1, 0), (0, 2)]


def test_a_lake_that_stays_away_ends_the_flow_by_its_own_error(
    settings: Settings, table: EventsTable
) -> None:
    table.commit((0, 0))
    errors: list[Exception] = []
    ticks: list[bool] = []

    class Ended(Exception):
        pass

    def guard(poll: Poll) -> Poll:
        def guarded() -> PolledEvents:
            try:
                return poll()
            except Exception as error:
                errors.append(error)
                raise Ended from error

        return guarded

    def step(polled: PolledEvents) -> None:
        if polled.events.num_rows:
            Path(settings.lake).rename("away")
            lake_table_is_opened_anew()
        else:
            ticks.append(polled.progress.complete)

    def lake_table_is_opened_anew() -> None:
        patch.setattr("semloop.delta.table.REOPEN_S", 0.0)

    flow, _ = flow_of(source(settings, guard=guard), step)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(BytewaxRuntimeError):
        run_main(flow)  # type: ignore[no-untyped-call]
    assert [type(error) for error in errors] == [StorageUnavailable]
    # It was waited for, and what the others have to do went on.
    assert len(ticks) >= 2
    assert not any(ticks)
