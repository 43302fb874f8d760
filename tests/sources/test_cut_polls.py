"""Polls of large records, cut by bytes, on the test session's broker."""

from collections import defaultdict

from confluent_kafka import Producer

from semloop.kafka.clients import producer_config
from semloop.kafka.topic import Topic
from semloop.settings import Settings
from sources.kafka.bounded_poll import POLL_BYTES_MAX
from tests.sources.topic_reader import BEGINNING, read_to_end, reading, table_of
from tests.support.services import wait_for


def test_a_poll_is_cut_by_bytes_and_nothing_is_lost_or_read_twice(
    settings: Settings, topic: Topic
) -> None:
    sizes = {0: [900_000] * 5, 1: [3_000_000, 10, 10], 2: [0, 2_000_000, 200_000]}
    producer = Producer(producer_config(settings))
    for partition, values in sizes.items():
        for size in values:
            producer.produce(settings.topic, bytes(size), partition=partition)
    assert producer.flush(60) == 0
    with reading(settings, topic, BEGINNING) as reader:
        polls = read_to_end(reader)
        polls += [reader.poll() for _ in range(3)]
    for poll in polls:
        values = [len(value) for value in poll.records["value"].to_pylist()]
        assert len(values) <= 1 or sum(values) <= POLL_BYTES_MAX
    found: dict[int, list[int]] = defaultdict(list)
    for row in table_of(polls).to_pylist():
        assert row["kafka_offset"] == len(found[row["kafka_partition"]])
        found[row["kafka_partition"]].append(len(row["value"]))
    assert found == sizes


def test_records_that_a_cut_keeps_are_not_fetched_again(
    settings: Settings, topic: Topic
) -> None:
    producer = Producer(producer_config(settings))
    offsets: list[int] = []
    with reading(settings, topic, {0: -1}) as reader:

        def read() -> list[int]:
            offsets.extend(reader.poll().records["kafka_offset"].to_pylist())
            return offsets

        read_to_end(reader)
        reader._idle_ends._pause_s = float("inf")
        for _ in range(9):
            producer.produce(settings.topic, bytes(900_000), partition=0)
        assert producer.flush(60) == 0
        wait_for("a cut poll", lambda: read() and reader._messages.holds_messages)
        # The end of the partition is due: to ask for it moves the consumer back to the
        # next record that was not returned.
        reader._idle_ends._pause_s = 0.0
        read()
        reader._idle_ends._pause_s = float("inf")
        wait_for("all records", lambda: 8 in read())
        for _ in range(20):
            read()
    assert offsets == list(range(9))
