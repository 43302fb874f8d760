"""The broker's process, with the clients that use it, and with hostile ones."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    NewPartitions,
    NewTopic,
)

from tests.support.services import EmbeddedBroker, wait_for

TOPIC = "events"
SIZE = struct.Struct(">i")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    found = EmbeddedBroker(tmp_path)
    yield found
    found.kill()


def config(broker: EmbeddedBroker, **more: Any) -> dict[str, Any]:
    return {"bootstrap.servers": broker.address, "log_level": 0, **more}


def create(broker: EmbeddedBroker, partitions: int = 2) -> None:
    admin = AdminClient(config(broker))
    admin.create_topics([NewTopic(TOPIC, partitions)])[TOPIC].result(60)


def produce(broker: EmbeddedBroker, values: list[str], **more: Any) -> None:
    producer = Producer(config(broker, **{"enable.idempotence": True, **more}))
    for number, value in enumerate(values):
        producer.produce(TOPIC, value, partition=number % 2)
    assert producer.flush(60) == 0


def read_all(broker: EmbeddedBroker, count: int) -> list[str]:
    consumer = Consumer(config(broker, **{"group.id": "reader"}))
    places = [TopicPartition(TOPIC, p, OFFSET_BEGINNING) for p in range(2)]
    consumer.assign(places)
    found: list[Any] = []
    deadline = time.monotonic() + 60
    while len(found) < count and time.monotonic() < deadline:
        messages = consumer.consume(1_000, 0.2)
        found += [m.value() for m in messages if not m.error()]
    found += [m.value() for m in consumer.consume(10, 0.3) if not m.error()]
    consumer.close()
    return sorted(value.decode() for value in found)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_records_are_read_as_they_were_produced(
    broker: EmbeddedBroker, codec: str
) -> None:
    create(broker)
    values = [f"{number:05d} {'x' * (number % 900)}" for number in range(3_000)]
    produce(broker, values, **{"compression.type": codec, "linger.ms": 5})
    assert read_all(broker, len(values)) == values


@pytest.mark.process
def test_a_killed_broker_continues_with_its_records_and_its_producers(
    tmp_path: Path,
) -> None:
    first = EmbeddedBroker(tmp_path)
    create(first)
    settings = {"enable.idempotence": True, "linger.ms": 0, "batch.num.messages": 1}
    producer = Producer(config(first, **settings))
    for number in range(500):
        producer.produce(TOPIC, f"{number:05d}", partition=number % 2)
        producer.poll(0)
    first.kill()
    for number in range(500, 1_000):
        producer.produce(TOPIC, f"{number:05d}", partition=number % 2)
    second = EmbeddedBroker(tmp_path, first.address)
    assert producer.flush(60) == 0
    assert read_all(second, 1_000) == [f"{number:05d}" for number in range(1_000)]
    second.kill()


def test_members_of_a_group_share_partitions_and_take_over(
    broker: EmbeddedBroker,
) -> None:
    create(broker)
    grouped = {
        "group.id": "g",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 6_000,
        "heartbeat.interval.ms": 200,
    }
    members = [Consumer(config(broker, **grouped)) for _ in range(2)]
    for member in members:
        member.subscribe([TOPIC])

    def is_shared() -> bool:
        for member in members:
            member.poll(0.1)
        return [len(member.assignment()) for member in members] == [1, 1]

    wait_for("a partition each", is_shared)
    produce(broker, [f"{number:02d}" for number in range(20)])
    read: list[str] = []

    def has_read_all() -> bool:
        for member in members:
            message = member.poll(0.05)
            if message is not None and not message.error():
                read.append(str(message.value()))
        return len(read) == 20

    wait_for("all records", has_read_all)
    for member in members:
        member.commit(asynchronous=False)
    members[0].close()

    def is_taken_over() -> bool:
        members[1].poll(0.1)
        return len(members[1].assignment()) == 2

    wait_for("both partitions", is_taken_over)
    members[1].close()
    monitor = Consumer(config(broker, **{"group.id": "g"}))
    places = monitor.committed([TopicPartition(TOPIC, p) for p in range(2)], 10)
    assert [place.offset for place in places] == [10, 10]
    admin = AdminClient(config(broker))
    names = admin.list_consumer_groups().result(60)
    assert [group.group_id for group in names.valid] == ["g"]
    monitor.close()


def test_topics_grow_and_are_deleted_and_transactions_are_refused(
    broker: EmbeddedBroker,
) -> None:
    create(broker)
    admin = AdminClient(config(broker))
    with pytest.raises(KafkaException, match="TOPIC_ALREADY_EXISTS"):
        admin.create_topics([NewTopic(TOPIC, 2)])[TOPIC].result(60)
    for name in ("", "a/b", ".."):
        with pytest.raises(KafkaException):
            admin.create_topics([NewTopic(name, 1)])[name].result(60)
    admin.create_partitions([NewPartitions(TOPIC, 5)])[TOPIC].result(60)
    assert len(admin.list_topics(timeout=60).topics[TOPIC].partitions) == 5
    produce(broker, ["a", "b"])
    place = TopicPartition(TOPIC, 0, 1)
    (future,) = admin.delete_records([place]).values()
    assert future.result(60).low_watermark == 1
    transactional = Producer(config(broker, **{"transactional.id": "x"}))
    with pytest.raises(KafkaException):
        transactional.init_transactions(5)
    admin.delete_topics([TOPIC])[TOPIC].result(60)
    assert TOPIC not in admin.list_topics(timeout=60).topics


def exchanged(broker: EmbeddedBroker, data: bytes) -> bytes:
    """Send bytes; return what comes until the broker closes or is silent."""
    host, port = broker.address.split(":")
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.settimeout(0.5)
        received = b""
        try:
            connection.sendall(data)
            while part := connection.recv(4_096):
                received += part
        except OSError:
            return received
        return received


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + b"\0" * 500,
        SIZE.pack(2**31 - 1) + b"x" * 100,
        SIZE.pack(-1),
        SIZE.pack(0),
        SIZE.pack(3) + b"abc",
        SIZE.pack(12) + struct.pack(">hhihh", 99, 0, 1, -1, 0),
        # A fetch that says it has two billion topics.
        SIZE.pack(50)
        + struct.pack(">hhih", 1, 4, 1, -1)
        + struct.pack(">iiiib", -1, 10, 1, 100, 0)
        + b"\x7f" * 23,
    ],
)
def test_bytes_that_are_no_request_close_only_their_connection(
    broker: EmbeddedBroker, data: bytes
) -> None:
    create(broker)
    assert exchanged(broker, data) == b""
    produce(broker, ["a"])
    assert read_all(broker, 1) == ["a"]


def test_clients_that_stop_halfway_neither_block_others_nor_fill_memory(
    broker: EmbeddedBroker,
) -> None:
    create(broker)
    host, port = broker.address.split(":")
    before_mb = psutil.Process(broker.pid).memory_info().rss / 2**20
    stalled = [socket.create_connection((host, int(port)), 5) for _ in range(50)]
    done = threading.Event()

    def send(connection: socket.socket) -> None:
        connection.settimeout(0.2)
        try:
            connection.sendall(SIZE.pack(15 * 2**20))
            while not done.is_set():
                connection.sendall(b"x" * 2**20)
        except OSError:
            return

    threads = [threading.Thread(target=send, args=[each]) for each in stalled]
    for thread in threads:
        thread.start()
    produce(broker, ["a", "b"])
    assert read_all(broker, 2) == ["a", "b"]
    for thread in threads:
        thread.join()
    after_mb = psutil.Process(broker.pid).memory_info().rss / 2**20
    assert after_mb - before_mb < 150
    done.set()
    for each in stalled:
        each.close()
