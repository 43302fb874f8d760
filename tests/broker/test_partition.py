"""The log of a partition: order, sizes, repeated batches, deletion."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semloop.broker import partition
from semloop.broker.errors import Code, Refused
from semloop.broker.partition import PartitionLog
from semloop.broker.segment import Segment
from tests.broker.records import a_batch, offsets

BYTES_MAX = 2**20


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def refusal(log: PartitionLog, data: bytes, bytes_max: int = BYTES_MAX) -> Code:
    with pytest.raises(Refused) as refused:
        log.append(data, bytes_max)
    return refused.value.code


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(61, 9_000), min_size=1, max_size=60),
    counts=st.lists(st.integers(1, 7), min_size=60, max_size=60),
    bytes_max=st.integers(1, 20_000),
)
def test_each_offset_is_read_with_its_batch_and_all_that_follow(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    counts: list[int],
    bytes_max: int,
) -> None:
    descriptor = os.open(tmp_path_factory.mktemp("log"), os.O_RDONLY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "SEGMENT_BYTES", 30_000)
        log = PartitionLog(descriptor, "p-")
        firsts = [
            log.append(a_batch(n, size=s), BYTES_MAX)
            for s, n in zip(sizes, counts, strict=False)
        ]
        ends = [*firsts[1:], log.next_offset]
        for offset in range(log.next_offset):
            of = max(at for at, first in enumerate(firsts) if first <= offset)
            data = log.read(offset, bytes_max)
            found = offsets(data)
            assert found == firsts[of : of + len(found)] != []
            # No batch is cut, and at most a batch more than wanted.
            assert len(data) == sum(sizes[of : of + len(found)])
        assert log.read(log.next_offset, bytes_max) == b""
        assert ends[-1] == sum(counts[: len(sizes)])
        assert log.size == sum(sizes)
        log.delete()
    os.close(descriptor)


def test_a_repeated_batch_is_stored_once_and_a_later_one_waits(folder: int) -> None:
    log = PartitionLog(folder, "p-")
    assert log.append(a_batch(2, producer=7), BYTES_MAX) == 0
    assert log.append(a_batch(3, producer=7, sequence=2), BYTES_MAX) == 2
    assert log.append(a_batch(2, producer=7), BYTES_MAX) == 0
    assert log.append(a_batch(3, producer=7, sequence=2), BYTES_MAX) == 2
    late = a_batch(1, producer=7, sequence=6)
    assert refusal(log, late) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert log.append(a_batch(1, producer=7, sequence=5), BYTES_MAX) == 5
    assert log.append(late, BYTES_MAX) == 6
    for sequence in range(7, 15):
        log.append(a_batch(1, producer=7, sequence=sequence), BYTES_MAX)
    old = a_batch(2, producer=7)
    assert refusal(log, old) is Code.DUPLICATE_SEQUENCE_NUMBER
    assert log.append(a_batch(1, producer=7, epoch=1), BYTES_MAX) == 15
    former = a_batch(1, producer=7, sequence=15)
    assert refusal(log, former) is Code.INVALID_PRODUCER_EPOCH
    # Another producer, and one without numbers, are independent.
    assert log.append(a_batch(1, producer=8, sequence=99), BYTES_MAX) == 16
    assert log.append(a_batch(1), BYTES_MAX) == 17
    assert log.append(a_batch(1), BYTES_MAX) == 18


def test_batches_after_one_that_was_refused_wait_for_it(folder: int) -> None:
    log = PartitionLog(folder, "p-")
    first, second = (a_batch(producer=7, sequence=number) for number in range(2))
    with pytest.raises(Refused):
        log.append(first, BYTES_MAX, lambda size: True)
    # A producer would take the success of the second for that of the first.
    assert refusal(log, second) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert log.append(first, BYTES_MAX) == 0
    assert log.append(second, BYTES_MAX) == 1
    later = [a_batch(producer=7, epoch=1, sequence=number) for number in range(2)]
    with pytest.raises(Refused):
        log.append(later[0], BYTES_MAX, lambda size: True)
    assert refusal(log, later[1]) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert [log.append(each, BYTES_MAX) for each in later] == [2, 3]
    # What is stored needs no room.
    assert log.append(later[1], BYTES_MAX, lambda size: True) == 3


def test_sequence_numbers_begin_again_at_zero(folder: int) -> None:
    log = PartitionLog(folder, "p-")
    last = 2**31 - 1
    assert log.append(a_batch(2, producer=7, sequence=last - 1), BYTES_MAX) == 0
    assert log.append(a_batch(1, producer=7, sequence=0), BYTES_MAX) == 2
    assert log.append(a_batch(2, producer=7, sequence=last - 1), BYTES_MAX) == 0


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.CORRUPT_MESSAGE),
        (b"\0" * 60, Code.CORRUPT_MESSAGE),
        (a_batch()[:-1], Code.CORRUPT_MESSAGE),
        (a_batch() + b"\0", Code.CORRUPT_MESSAGE),
        (a_batch() + a_batch(), Code.CORRUPT_MESSAGE),
        (a_batch()[:16] + b"\1" + a_batch()[17:], Code.UNSUPPORTED_VERSION),
        (a_batch()[:22] + b"\x10" + a_batch()[23:], Code.INVALID_REQUEST),
        (a_batch(0), Code.CORRUPT_MESSAGE),
        (a_batch()[:-1] + b"\0", Code.CORRUPT_MESSAGE),
        (a_batch()[:17] + b"\0\0\0\0" + a_batch()[21:], Code.CORRUPT_MESSAGE),
        (a_batch(size=5_000), Code.MESSAGE_TOO_LARGE),
    ],
)
def test_what_is_no_batch_is_refused(folder: int, data: bytes, code: Code) -> None:
    log = PartitionLog(folder, "p-")
    assert refusal(log, data, bytes_max=4_000) is code
    assert (log.next_offset, log.size) == (0, 0)


def test_after_a_damaged_batch_a_producer_must_send_it_again_first(
    folder: int,
) -> None:
    """Librdkafka takes the success of a later batch for that of all before it."""
    log = PartitionLog(folder, "p-")
    damaged = a_batch(producer=7)[:-1] + b"\0"
    assert refusal(log, damaged) is Code.CORRUPT_MESSAGE
    later = a_batch(producer=7, sequence=1)
    assert refusal(log, later) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert log.append(a_batch(producer=7), BYTES_MAX) == 0
    # Its epoch may be what is damaged.
    newer = a_batch(producer=7, epoch=5)[:-1] + b"\0"
    assert refusal(log, newer) is Code.CORRUPT_MESSAGE
    assert log.append(later, BYTES_MAX) == 1


def test_only_whole_files_of_committed_records_are_deleted(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "SEGMENT_BYTES", 1_000)
    log = PartitionLog(folder, "p-")
    for _ in range(20):
        log.append(a_batch(), BYTES_MAX)
    assert len(list(tmp_path.iterdir())) == 4
    log.delete_committed(7, idle_s=0.0)
    assert (log.start_offset, log.size) == (5, 3_000)
    with pytest.raises(Refused) as refused:
        log.read(4, BYTES_MAX)
    assert refused.value.code is Code.OFFSET_OUT_OF_RANGE
    assert offsets(log.read(5, 1))[0] == 5
    log.delete_committed(20, idle_s=3_600.0)
    assert log.start_offset == 5
    log.delete_committed(20, idle_s=0.0)
    assert (log.start_offset, log.next_offset, log.size) == (20, 20, 0)
    (rest,) = tmp_path.iterdir()
    assert (rest.name, rest.stat().st_size) == (f"p-{20:020d}.log", 0)
    assert log.append(a_batch(), BYTES_MAX) == 20
    assert offsets(log.read(20, BYTES_MAX)) == [20]


def test_a_full_disk_stores_nothing_of_a_batch(
    folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = PartitionLog(folder, "p-")
    log.append(a_batch(), BYTES_MAX)
    write = os.pwrite

    def full(file: int, data: bytes, at: int) -> int:
        if at > 250:
            raise OSError(28, "No space left on device")
        return write(file, bytes(data)[:60], at)

    monkeypatch.setattr("semloop.broker.segment.os.pwrite", full)
    assert refusal(log, a_batch()) is Code.NOT_ENOUGH_REPLICAS
    monkeypatch.undo()
    assert (log.next_offset, log.size) == (1, 200)
    assert log.append(a_batch(3), BYTES_MAX) == 1
    assert offsets(log.read(0, BYTES_MAX)) == [0, 1]


def test_a_time_is_found_by_the_newest_record_of_a_batch(folder: int) -> None:
    log = PartitionLog(folder, "p-")
    for timestamp_ms in (100, 300, 200):
        log.append(a_batch(2, timestamp_ms=timestamp_ms), BYTES_MAX)
    assert log.offset_at(150) == (2, 300)
    assert log.offset_at(100) == (0, 100)
    assert log.offset_at(301) == (-1, -1)


def test_a_time_is_found_in_many_files_in_any_order_of_the_times(
    folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "SEGMENT_BYTES", 20_000)
    rng, log, stored = random.Random(7), PartitionLog(folder, "p-"), []
    for offset in range(300):
        timestamp_ms = offset + rng.randrange(40)
        size = rng.choice((100, 300, 5_000))
        log.append(a_batch(size=size, timestamp_ms=timestamp_ms), BYTES_MAX)
        stored.append((offset, timestamp_ms))
    for each in log.segments:
        each.close()
    found = PartitionLog(folder, "p-")
    again = [Segment(folder, each.name, each.base_offset) for each in log.segments]
    for segment in again:
        segment.recover(0, trusts_all=True, is_last=True)
    found.adopt(again)
    for wanted_ms in range(0, 400, 7):
        expected = next((at for at in stored if at[1] >= wanted_ms), (-1, -1))
        assert found.offset_at(wanted_ms) == expected
