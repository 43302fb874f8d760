"""A full broker refuses the first batch of an idempotent producer of librdkafka."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    NewTopic,
)

from tests.broker.conftest import Start
from tests.support.services import EmbeddedBroker, wait_for

TOPIC, FILLED, SENT = "events", 10, 5
pytestmark = pytest.mark.process

GROUP = "semloop-archive"
NAME_BYTES = len("sent 0")
ONE_BY_ONE = {"linger.ms": 0, "batch.num.messages": 1, "log_level": 0}
Report = Callable[[Any, Any], None]


def stored(broker: EmbeddedBroker) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "reader"})
    place = TopicPartition(TOPIC, 0, OFFSET_BEGINNING)
    consumer.assign([place])
    _, end = consumer.get_watermark_offsets(place, 10)
    found: list[Any] = []

    def has_all() -> bool:
        found.extend(consumer.consume(100, 0.2))
        return bool(found) and found[-1].offset() == end - 1

    wait_for("all records", has_all)
    consumer.close()
    return [m.value()[:NAME_BYTES] for m in found if m.value().startswith(b"sent")]


def committing(broker: EmbeddedBroker) -> Callable[[], object]:
    """Return what makes room."""
    settings = {"bootstrap.servers": broker.address, "group.id": GROUP}
    consumer = Consumer(settings)
    place = TopicPartition(TOPIC, 0, FILLED)
    # It is connected now, so that the commit comes between the batches.
    consumer.committed([place], 10)
    return lambda: consumer.commit(offsets=[place], asynchronous=False)


@pytest.mark.parametrize(
    ("later_bytes", "makes_room"),
    [(60_000, True), (300, False)],
    ids=["room is made meanwhile", "later batches are smaller"],
)
def test_no_record_is_reported_as_stored_that_is_not(
    start: Start, later_bytes: int, makes_room: bool
) -> None:
    broker = start(mb_max=1)
    server = {"bootstrap.servers": broker.address, **ONE_BY_ONE}
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(TOPIC, 2)])[TOPIC].result(60)
    filling = Producer(server)
    for _ in range(FILLED):
        filling.produce(TOPIC, os.urandom(100_000), partition=0)
    assert filling.flush(60) == 0
    commit = committing(broker)
    delivered: list[bytes] = []

    def report(error: Any, message: Any) -> None:
        if error is None:
            delivered.append(message.value()[:NAME_BYTES])

    producer = Producer({**server, "enable.idempotence": True})
    producer.produce(TOPIC, b"", partition=1)
    assert producer.flush(60) == 0  # it has an id now, so batches go out one by one
    for number in range(SENT):
        size = later_bytes if number else 60_000
        value = b"sent %d" % number + os.urandom(size)
        producer.produce(TOPIC, value, partition=0, on_delivery=report)
        producer.poll(0.06)
    if makes_room:
        commit()
        assert producer.flush(60) == 0
        assert len(delivered) == SENT
    else:
        producer.flush(3)
    assert set(delivered) <= set(found := stored(broker))
    assert len(found) == len(set(found))
