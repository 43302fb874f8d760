"""Read a topic on the test session's broker; tests for Apache Kafka are marked."""

import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from bytewax.inputs import StatelessSourcePartition
from confluent_kafka import Consumer, Producer, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from flows.bytewax_io import ReaderSource
from schemas.batches import Polled
from schemas.committed import CommittedOffsets
from semloop.errors import BrokerError
from semloop.event import IDEMPOTENCY_HEADER, SCHEMA_HEADER
from semloop.kafka.clients import address, producer_config
from semloop.kafka.topic import Topic
from semloop.settings import Settings
from sources.kafka.reader import KafkaReader, owned_partitions
from tests.sources.topic_reader import (
    BEGINNING,
    GROUP,
    open_reader,
    positions,
    read_to_end,
    reading,
    send,
    table_of,
)
from tests.support.builders import keyed
from tests.support.services import free_port, wait_for


def read(
    settings: Settings, topic: Topic, offsets: dict[int, int] | None = None
) -> pa.Table:
    """Read all records after the offsets, as one table."""
    with reading(settings, topic, offsets or BEGINNING) as reader:
        return table_of(read_to_end(reader))


def test_records_are_returned_in_order_with_their_kafka_metadata(
    settings: Settings, topic: Topic
) -> None:
    # Recent, since Apache Kafka's retention removes older records immediately.
    sent_ms = time.time_ns() // 1_000_000 - 1_234
    for partition in (0, 2):
        send(settings, 5, partition, key=b"k\xff", timestamp=sent_ms)
    rows = read(settings, topic)
    by_partition = defaultdict(list)
    for row in rows.to_pylist():
        by_partition[row["kafka_partition"]].append(row)
    assert by_partition.keys() == {0, 2}
    for found in by_partition.values():
        assert [row["kafka_offset"] for row in found] == list(range(5))
        assert [row["value"] for row in found] == [b"0", b"1", b"2", b"3", b"4"]
    assert set(rows["topic"].to_pylist()) == {settings.topic}
    assert set(rows["topic_id"].to_pylist()) == {topic.topic_id}
    assert set(rows["key"].to_pylist()) == {b"k\xff"}
    assert set(rows["headers"].to_pylist()) == {None}
    microseconds = rows["kafka_ts"].cast(pa.int64()).to_pylist()
    assert set(microseconds) == {sent_ms * 1000}


def test_a_tombstone_and_a_record_without_a_key_are_records(
    settings: Settings, topic: Topic
) -> None:
    producer = Producer({"bootstrap.servers": address(settings)})
    producer.produce(settings.topic, None, key=b"k", partition=0)
    producer.produce(settings.topic, b"", partition=0)
    assert producer.flush(60) == 0
    rows = read(settings, topic)
    assert rows["value"].to_pylist() == [None, b""]
    assert rows["key"].to_pylist() == [b"k", None]


def test_headers_are_kept_and_semloop_headers_are_parsed(
    settings: Settings, topic: Topic
) -> None:
    once = uuid.uuid4()
    sent: list[list[tuple[str, bytes | None]]] = [
        [(IDEMPOTENCY_HEADER, once.hex.upper().encode()), (SCHEMA_HEADER, b"1")],
        [(IDEMPOTENCY_HEADER, b"not a uuid"), (SCHEMA_HEADER, b"99"), ("x", b"\xff")],
        [("x", b"1"), ("x", None)],
        [],
    ]
    for headers in sent:
        send(settings, 1, headers=headers)
    rows = read(settings, topic)
    assert rows["idempotency_key"].to_pylist() == [str(once), None, None, None]
    assert rows["schema_version"].to_pylist() == ["1", "99", None, None]
    headers_read = [
        text and msgspec.json.decode(text) for text in rows["headers"].to_pylist()
    ]
    assert headers_read[1][2] == ["x", "\\xff"]
    assert headers_read[2:] == [[["x", "1"], ["x", None]], None]


def test_reading_starts_after_the_given_offsets(
    settings: Settings, topic: Topic
) -> None:
    for partition in (0, 1):
        send(settings, 6, partition)
    rows = read(settings, topic, {0: 3, 1: -1})
    found = zip(
        rows["kafka_partition"].to_pylist(),
        rows["kafka_offset"].to_pylist(),
        strict=True,
    )
    assert sorted(found) == [(0, 4), (0, 5), *((1, offset) for offset in range(6))]


def test_the_end_of_a_partition_reports_its_position_and_the_time(
    settings: Settings, topic: Topic
) -> None:
    send(settings, 3, partition=1)
    before = time.time_ns() // 1_000_000
    with reading(settings, topic, BEGINNING) as reader:
        assert not reader.caught_up
        polls = read_to_end(reader)
        times: dict[int, int] = {}
        for poll in polls:
            times |= {p.number: ms for p, ms in poll.progress.caught_up_ms.items()}
        assert positions(polls) == {0: -1, 1: 2, 2: -1, 3: -1}
        assert times.keys() == BEGINNING.keys()
        assert all(before <= ms <= time.time_ns() // 1_000_000 for ms in times.values())
        ends = {p.number: e for poll in polls for p, e in poll.progress.ends.items()}
        assert ends[1] == 3
        # `caught_up` stays true; new records are still read.
        send(settings, 4, partition=3)
        later: list[Polled] = []
        wait_for(
            "new records",
            lambda: later.append(reader.poll()) or table_of(later).num_rows == 4,  # type: ignore[func-returns-value]
        )
        assert reader.caught_up


def test_an_end_before_records_of_the_same_poll_does_not_move_the_position_back(
    settings: Settings, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records may be produced between the report of an end and the poll."""
    messages: list[Any] = []
    with reading(settings, topic, {0: -1}) as reader:
        take = reader._messages.take

        def has_taken(count: int) -> bool:
            messages.extend(take(0.05))
            return len(messages) >= count

        wait_for("the end", lambda: has_taken(1))
        send(settings, 3)
        wait_for("the records", lambda: has_taken(4))
        assert [m.error() is None for m in messages[:4]] == [False, True, True, True]
        monkeypatch.setattr(reader._messages, "take", lambda _: messages[:4])
        polled = reader.poll()
    assert polled.records["kafka_offset"].to_pylist() == [0, 1, 2]
    assert polled.progress.positions == keyed({0: 2}, topic.topic_id)


def test_a_position_at_the_very_end_is_caught_up(
    settings: Settings, topic: Topic
) -> None:
    send(settings, 3)
    with reading(settings, topic, {0: 2}) as reader:
        polls = read_to_end(reader)
    assert (table_of(polls).num_rows, positions(polls)) == (0, {0: 2})


def test_a_worker_without_partitions_is_caught_up_and_never_fails(
    settings: Settings, topic: Topic
) -> None:
    soon = settings.replace(start_timeout_s=0.01)
    with reading(soon, topic, {}) as reader:
        for _ in range(3):
            assert reader.poll().records.num_rows == 0
        assert reader.caught_up


def test_a_poll_returns_at_most_poll_records(settings: Settings, topic: Topic) -> None:
    send(settings, 50)
    few = settings.replace(poll_records=7)
    with reading(few, topic, {0: -1}) as reader:
        polls = read_to_end(reader)
    assert max(poll.records.num_rows for poll in polls) <= 7
    assert table_of(polls)["kafka_offset"].to_pylist() == list(range(50))


def test_lag_monitors_see_the_committed_group_offsets(
    settings: Settings, topic: Topic
) -> None:
    send(settings, 3)
    committed = CommittedOffsets(GROUP)
    with reading(settings, topic, BEGINNING, committed) as reader:
        read_to_end(reader)
        committed.put(keyed({0: 2, 1: -1}, topic.topic_id))
        reader.poll()
        monitor = Consumer(
            {"bootstrap.servers": settings.kafka, "group.id": GROUP, "log_level": 2}
        )
        places = [TopicPartition(settings.topic, p) for p in (0, 1)]
        try:
            wait_for(
                "the group's offset",
                lambda: monitor.committed(places, timeout=60)[0].offset == 3,
            )
            assert monitor.committed(places, timeout=60)[1].offset < 0
        finally:
            monitor.close()


class Batches:
    """Iterates over the batches of a source partition until its input ends."""

    def __init__(self, partition: StatelessSourcePartition[Polled]) -> None:
        self._partition = partition

    def __iter__(self) -> Iterator[Iterable[Polled]]:
        return self

    def __next__(self) -> Iterable[Polled]:
        return self._partition.next_batch()


def test_the_source_ends_when_it_has_caught_up(
    settings: Settings, topic: Topic
) -> None:
    send(settings, 3)
    source = ReaderSource(
        lambda index, count: open_reader(settings, topic, BEGINNING),
        until_caught_up=True,
    )
    partition = source.build("kafka", 0, 1)
    polls = [poll for batch in Batches(partition) for poll in batch]
    partition.close()
    assert [poll.progress.last for poll in polls].index(True) == len(polls) - 1
    assert table_of(polls).num_rows == 3


@given(st.integers(0, 40), st.integers(1, 12))
def test_every_partition_belongs_to_exactly_one_worker(
    partitions: int, workers: int
) -> None:
    assigned = [
        owned_partitions(partitions, index, workers) for index in range(workers)
    ]
    assert sorted(p for owned in assigned for p in owned) == list(range(partitions))
    sizes = [len(owned) for owned in assigned]
    assert max(sizes) - min(sizes) <= 1


def test_a_broker_that_never_answers_is_reported_in_one_line(
    settings: Settings,
) -> None:
    nowhere = settings.replace(kafka=f"127.0.0.1:{free_port()}", start_timeout_s=1.0)
    topic = Topic("c", settings.topic, "t", 1)

    def poll_until_error(reader: KafkaReader) -> None:
        wait_for("the error", lambda: reader.poll() is None)

    with (
        reading(nowhere, topic, {0: -1}) as reader,
        pytest.raises(BrokerError) as error,
    ):
        poll_until_error(reader)
    assert error.value.what == f"{nowhere.kafka} did not answer within 1 s."
    assert error.value.todo == (
        "Check that the broker is running and SEMLOOP_KAFKA is correct."
    )


@pytest.mark.real_broker
def test_aborted_transactions_are_skipped_and_do_not_delay_the_end(
    settings: Settings, topic: Topic
) -> None:
    producer = Producer(
        producer_config(settings) | {"transactional.id": settings.topic}
    )
    producer.init_transactions(30)
    for value, commits in ((b"kept", True), (b"aborted", False)):
        producer.begin_transaction()
        producer.produce(settings.topic, value, partition=0)
        producer.flush(30)
        (producer.commit_transaction if commits else producer.abort_transaction)(30)
    with reading(settings, topic, {0: -1}) as reader:
        polls = read_to_end(reader)
    assert table_of(polls)["value"].to_pylist() == [b"kept"]
    # Two records, and the two markers that end the transactions.
    assert positions(polls) == {0: 3}
    with reading(settings, topic, {0: 3}) as reader:
        assert positions(read_to_end(reader)) == {0: 3}
