"""What retention took before it was read, and a broker that is away when asked."""

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.batches import Polled
from schemas.committed import CommittedOffsets
from semloop.errors import BrokerUnavailable, OffsetsGone, TopicChanged
from semloop.kafka.clients import address
from semloop.kafka.topic import Topic, TopicAdmin
from semloop.settings import Settings
from sources.kafka.reader import KafkaReader
from tests.builders import keyed
from tests.services import RealBroker, free_port, wait_for
from tests.sources.test_kafka import (
    GROUP,
    positions,
    reader_of,
    reading,
    send,
    table_of,
    to_the_end,
)

pytestmark = pytest.mark.real_broker


def send_large(settings: Settings) -> None:
    """1,000 records of 10 kB."""
    producer = Producer({"bootstrap.servers": address(settings)})
    for _ in range(1_000):
        producer.produce(settings.topic, bytes(10_000), partition=0)
    assert producer.flush(30) == 0


def trim(settings: Settings, before: int) -> None:
    admin = AdminClient({"bootstrap.servers": address(settings)})
    place = TopicPartition(settings.topic, 0, before)
    for done in admin.delete_records([place]).values():
        done.result()


def to_the_gap(reader: KafkaReader) -> list[Polled]:
    """Polls until the reader hands on the last of what it read."""
    polls: list[Polled] = []

    def gap() -> bool:
        polls.append(reader.poll())
        return polls[-1].progress.last

    wait_for("the gap", gap)
    return polls


def test_what_was_read_before_a_gap_is_committed_before_it_is_told(
    settings: Settings, topic: Topic
) -> None:
    # More than the queue holds: what comes next stays at the broker until it is trimmed.
    little = settings.replace(fetch_memory_mb=1, poll_records=50)
    send_large(settings)
    committed = CommittedOffsets(GROUP)
    with reading(little, topic, {0: -1, 1: -1}, committed) as reader:
        first = reader.poll()
        while not first.records.num_rows:
            first = reader.poll()
        send_large(settings)
        trim(settings, 2_000)
        polls = [first, *to_the_gap(reader)]
        last = positions(polls)[0]
        for _ in range(3):
            tick = reader.poll()
            assert (tick.records.num_rows, tick.progress.last) == (0, False)
        committed.put(keyed({0: last - 1, 1: -1}, topic.topic_id))
        assert reader.poll().records.num_rows == 0
        committed.put(keyed({0: last, 1: -1}, topic.topic_id))
        with pytest.raises(OffsetsGone) as error:
            reader.poll()
    gone = f"{2_000 - last - 1} offsets from {last + 1} on are gone (retention)"
    assert gone in error.value.what
    assert "--accept-gap" in error.value.todo


def test_a_gap_of_a_topic_made_again_is_told_as_that(
    settings: Settings, topic: Topic
) -> None:
    def changed() -> None:
        msg = "It was made again."
        raise TopicChanged(msg)

    # Read up to an offset that the topic of today does not have.
    reader = reader_of(settings, topic, {0: 99}, same_topic=changed)
    try:
        with pytest.raises(TopicChanged):
            to_the_gap(reader)
    finally:
        reader.close()


def test_a_broker_that_lost_records_is_told_as_that(
    settings: Settings, topic: Topic
) -> None:
    send(settings, 5)
    with reading(settings, topic, {0: 99}) as reader:
        to_the_gap(reader)
        with pytest.raises(OffsetsGone, match="ends at 5, but 99 was read before"):
            reader.poll()


# Where a partition begins is written down once a minute; here it is not before the kill.
FORGETFUL = "log.flush.start.offset.checkpoint.interval.ms=86400000"


@pytest.mark.parametrize("own_broker", [FORGETFUL], indirect=True, ids=["forgetful"])
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_gap_is_measured_once_the_broker_answers(
    settings: Settings, own_broker: RealBroker, *, comes_back: bool
) -> None:
    settings = settings.replace(
        kafka=own_broker.address, start_timeout_s=60 if comes_back else 3
    )
    topic = TopicAdmin(settings).ensure()
    send(settings, 9)
    trim(settings, 6)

    def dies() -> None:
        own_broker.kill()
        if comes_back:
            own_broker.start()

    reader = reader_of(settings, topic, {0: 1}, same_topic=dies)
    try:
        if comes_back:
            # It does not know any more that it removed something.
            rows = table_of(to_the_end(reader))
            assert rows["kafka_offset"].to_pylist() == [2, 3, 4, 5, 6, 7, 8]
        else:
            with pytest.raises(BrokerUnavailable, match="does not say which offsets"):
                to_the_gap(reader)
    finally:
        reader.close()


def test_a_gap_cannot_be_accepted_without_an_answer(settings: Settings) -> None:
    nowhere = settings.replace(kafka=f"127.0.0.1:{free_port()}", start_timeout_s=0.1)
    topic = Topic("c", settings.topic, "t", 1)
    with pytest.raises(BrokerUnavailable, match="does not say which offsets"):
        reader_of(nowhere, topic, {0: 3}, accept_gap=True)
