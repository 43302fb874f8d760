"""Produces numbered records to a topic, and reads topics with `KafkaReader`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from confluent_kafka import Producer

from schemas.arrow import RECORDS
from schemas.batches import Polled
from schemas.committed import CommittedOffsets
from semloop.kafka.clients import address
from semloop.kafka.topic import Topic
from semloop.settings import Settings
from sources.kafka.reader import KafkaReader
from tests.support.builders import keyed
from tests.support.services import wait_for

GROUP = "semloop-test"
BEGINNING = dict.fromkeys(range(4), -1)


def send(settings: Settings, count: int, partition: int = 0, **more: Any) -> None:
    """Produce records `0`, `1`, ... to one partition."""
    producer = Producer({"bootstrap.servers": address(settings)})
    for number in range(count):
        value = str(number).encode()
        producer.produce(settings.topic, value, partition=partition, **more)
    assert producer.flush(60) == 0


def open_reader(
    settings: Settings,
    topic: Topic,
    offsets: dict[int, int],
    committed: CommittedOffsets | None = None,
    **options: Any,
) -> KafkaReader:
    positions_read = keyed(offsets, topic.topic_id)
    committed = committed or CommittedOffsets(GROUP)
    return KafkaReader(settings, topic, positions_read, committed, **options)


@contextmanager
def reading(
    settings: Settings,
    topic: Topic,
    offsets: dict[int, int],
    committed: CommittedOffsets | None = None,
) -> Iterator[KafkaReader]:
    reader = open_reader(settings, topic, offsets, committed)
    try:
        yield reader
    finally:
        reader.close()


def read_to_end(reader: KafkaReader) -> list[Polled]:
    """Poll until every partition has been read to its end."""
    polls = []
    wait_for("the end", lambda: polls.append(reader.poll()) or reader.caught_up)  # type: ignore[func-returns-value]
    return polls


def table_of(polls: Sequence[Polled]) -> pa.Table:
    return pa.Table.from_batches([poll.records for poll in polls], RECORDS)


def positions(polls: Sequence[Polled]) -> dict[int, int]:
    """Return the last position of each partition; check that none decreases."""
    last: dict[int, int] = {}
    for poll in polls:
        for (_, partition), offset in poll.progress.positions.items():
            assert offset >= last.get(partition, -1)
            last[partition] = offset
    return last
