"""Offsets that retention removed before they were read, and a broker that is down."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer

from schemas.batches import Polled
from schemas.committed import CommittedOffsets
from semloop.broker.broker import CLUSTER_ID
from semloop.errors import BrokerUnavailable, OffsetsGone, TopicChanged
from semloop.kafka.clients import address
from semloop.kafka.topic import Topic, TopicAdmin
from semloop.settings import Settings
from sources.kafka.reader import KafkaReader
from tests.flows.topics import trim
from tests.sources.topic_reader import (
    GROUP,
    open_reader,
    positions,
    read_to_end,
    reading,
    send,
    table_of,
)
from tests.support.builders import keyed
from tests.support.lakes import a_topic
from tests.support.services import RealBroker, free_port, wait_for

pytestmark = pytest.mark.real_broker


def send_large(settings: Settings) -> None:
    """Produce 1,000 records of 10 kB."""
    producer = Producer({"bootstrap.servers": address(settings)})
    for _ in range(1_000):
        producer.produce(settings.topic, bytes(10_000), partition=0)
    assert producer.flush(60) == 0


def poll_to_gap(reader: KafkaReader) -> list[Polled]:
    """Poll until the reader reports its last poll before the gap."""
    polls: list[Polled] = []

    def gap() -> bool:
        polls.append(reader.poll())
        return polls[-1].progress.last

    wait_for("the gap", gap)
    return polls


def test_records_before_a_gap_are_committed_before_it_is_reported(
    settings: Settings, topic: Topic
) -> None:
    # More than fits into the queue: the rest stays at the broker until it is trimmed.
    small = settings.replace(fetch_memory_mb=1, poll_records=50)
    send_large(settings)
    committed = CommittedOffsets(GROUP)
    with reading(small, topic, {0: -1, 1: -1}, committed) as reader:
        first = reader.poll()
        while not first.records.num_rows:
            first = reader.poll()
        send_large(settings)
        trim(settings, 2_000)
        polls = [first, *poll_to_gap(reader)]
        last = positions(polls)[0]
        for _ in range(3):
            empty_poll = reader.poll()
            assert (empty_poll.records.num_rows, empty_poll.progress.last) == (0, False)
        committed.put(keyed({0: last - 1, 1: -1}, topic.topic_id))
        assert reader.poll().records.num_rows == 0
        committed.put(keyed({0: last, 1: -1}, topic.topic_id))
        with pytest.raises(OffsetsGone) as error:
            reader.poll()
    gone = f"retention removed {2_000 - last - 1} offsets, starting at {last + 1}."
    assert gone in error.value.what
    assert "--accept-gap" in error.value.todo
    assert ("broker_mb" in error.value.todo) is (topic.cluster_id == CLUSTER_ID)


def test_a_gap_in_a_recreated_topic_is_reported_as_a_changed_topic(
    settings: Settings, topic: Topic
) -> None:
    def changed() -> None:
        msg = "The topic was recreated."
        raise TopicChanged(msg)

    # The position is beyond the end of the current topic.
    reader = open_reader(settings, topic, {0: 99}, same_topic=changed)
    try:
        with pytest.raises(TopicChanged):
            poll_to_gap(reader)
    finally:
        reader.close()


def test_an_offset_beyond_the_end_is_reported_as_lost_records(
    settings: Settings, topic: Topic
) -> None:
    send(settings, 5)
    with reading(settings, topic, {0: 99}) as reader:
        poll_to_gap(reader)
        with pytest.raises(OffsetsGone, match="ends at 5, but 99 was read before"):
            reader.poll()


# The broker stores log start offsets once a minute, for the first time 30 seconds after
# its start; here it is killed before that.
FORGETFUL = (
    "log.flush.start.offset.checkpoint.interval.ms=86400000\n"
    "log.initial.task.delay.ms=86400000"
)


@pytest.mark.parametrize("own_broker", [FORGETFUL], indirect=True, ids=["forgetful"])
def test_a_gap_is_measured_after_the_broker_answers_again_and_not_without_an_answer(
    settings: Settings, own_broker: RealBroker
) -> None:
    settings = settings.replace(kafka=own_broker.address)

    def restart() -> None:
        own_broker.kill()
        own_broker.start()

    with before_a_gap(settings.replace(start_timeout_s=60), restart) as reader:
        # The restarted broker serves the records that it had removed.
        rows = table_of(read_to_end(reader))
    assert rows["kafka_offset"].to_pylist() == [2, 3, 4, 5, 6, 7, 8]
    another = settings.replace(topic=a_topic(), start_timeout_s=3)
    with (
        before_a_gap(another, own_broker.kill) as reader,
        pytest.raises(BrokerUnavailable, match="does not return the offsets"),
    ):
        poll_to_gap(reader)


@contextmanager
def before_a_gap(
    settings: Settings, same_topic: Callable[[], None]
) -> Iterator[KafkaReader]:
    """Open a reader after the first of six removed records; `same_topic` is its check."""
    topic = TopicAdmin(settings).ensure()
    send(settings, 9)
    trim(settings, 6)
    reader = open_reader(settings, topic, {0: 1}, same_topic=same_topic)
    try:
        yield reader
    finally:
        reader.close()


def test_accepting_a_gap_fails_without_a_broker(settings: Settings) -> None:
    nowhere = settings.replace(kafka=f"127.0.0.1:{free_port()}", start_timeout_s=0.1)
    topic = Topic("c", settings.topic, "t", 1)
    with pytest.raises(BrokerUnavailable, match="does not return the offsets"):
        open_reader(nowhere, topic, {0: 3}, accept_gap=True)
