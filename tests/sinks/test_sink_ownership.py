"""Every sink: the newest writer owns its partitions and resumes where the last stopped."""

import pytest

from semloop.delta.streams import NEVER_READ
from semloop.errors import TakenOver
from semloop.storage.location import Storage
from sinks.delta.fenced_table import FencedTable
from sinks.delta.takeover import Takeover
from tests.sinks.sink_contract import Sink
from tests.sinks.wrapped_log import Interrupted, LosesReplies
from tests.support.builders import P0, P1, keyed

pytestmark = pytest.mark.usefixtures("fast_retries")


@pytest.mark.parametrize(
    "owned", [(0, 1), (1, 2)], ids=["the same partitions", "one of them"]
)
@pytest.mark.parametrize("moved", [True, False], ids=["rows", "offsets alone"])
def test_an_older_writer_is_rejected_and_writes_nothing(
    sink: Sink, storage: Storage, owned: tuple[int, ...], moved: bool
) -> None:
    older = sink.taken(storage)
    older.commit(sink.rows(0, 3), keyed({0: 2}))
    sink.taken(storage, owned)
    version = storage.open(sink.name).version()
    with pytest.raises(TakenOver, match=r"A newer copy .* partition [01]"):
        older.commit(sink.rows(3, 5) if moved else None, keyed({0: 4}))
    assert storage.open(sink.name).version() == version
    assert len(sink.offsets(storage)) == 3


def test_a_take_over_right_after_a_commit_is_detected(
    sink: Sink, storage: Storage
) -> None:
    log = sink.open_log(storage, Interrupted)
    older = sink.taken(storage, log=log)
    newer: list[FencedTable] = []
    log.then = lambda: newer.append(sink.taken(storage))
    with pytest.raises(TakenOver):
        older.commit(sink.rows(0, 2), keyed({0: 1}))
    # The commit before the take-over is stored, and the newer writer resumes after it.
    assert newer[0].offsets[P0] == 1
    newer[0].commit(sink.rows(2, 3), keyed({0: 2}))
    assert sink.offsets(storage) == [(0, 0), (0, 1), (0, 2)]


def test_writers_of_different_partitions_do_not_conflict(
    sink: Sink, storage: Storage
) -> None:
    first, second = sink.taken(storage, (0,)), sink.taken(storage, (1,))
    for offset in range(3):
        first.commit(sink.rows(offset, offset + 1), keyed({0: offset}))
        second.commit(sink.rows(offset, offset + 1, partition=1), keyed({1: offset}))
    assert sink.offsets(storage) == [(p, o) for p in (0, 1) for o in range(3)]


def test_the_newest_writer_resumes_where_its_predecessor_stopped(
    sink: Sink, storage: Storage
) -> None:
    older = sink.taken(storage)
    older.commit(sink.rows(0, 3), keyed({0: 2}))
    epochs = [older.epoch(P0)]
    for _ in range(2):
        newer = sink.taken(storage)
        epochs.append(newer.epoch(P0))
        assert newer.offsets == keyed({0: 2, 1: NEVER_READ})
    assert epochs == [1, 2, 3]
    newer.commit(sink.rows(3, 4), keyed({0: 3}))
    assert [offset for _, offset in sink.offsets(storage)] == [0, 1, 2, 3]


def test_the_offset_of_an_unread_partition_is_minus_one_and_stays_so(
    sink: Sink, storage: Storage
) -> None:
    assert sink.open(storage).stored(P0) is None
    for _ in range(2):
        writer = sink.taken(storage)
        assert writer.offsets == keyed({0: -1, 1: -1})
        assert (writer.stored(P0), writer.stored(P1)) == (-1, -1)


def test_a_worker_without_partitions_takes_nothing_over(
    sink: Sink, storage: Storage
) -> None:
    older = sink.taken(storage)
    assert sink.taken(storage, ()).offsets == {}
    older.commit(sink.rows(0, 1), keyed({0: 0}))


def test_a_take_over_whose_reply_was_lost_is_retried(
    sink: Sink, storage: Storage
) -> None:
    log = sink.open_log(storage, LosesReplies)
    writer = sink.open(storage, log=log)
    log.lose = 1
    Takeover(writer, []).run()
    writer.commit(sink.rows(0, 1), keyed({0: 0}))
    assert writer.epoch(P0) == 2


def test_reopen_checks_and_keeps_ownership(sink: Sink, storage: Storage) -> None:
    writer = sink.taken(storage)
    for offset in range(4):
        writer.commit(sink.rows(offset, offset + 1), keyed({0: offset}))
        assert writer.commits_since_open == 1
        writer.reopen()
        assert writer.commits_since_open == 0
    assert len(sink.offsets(storage)) == 4
    sink.taken(storage)
    with pytest.raises(TakenOver):
        writer.reopen()
