from dataclasses import replace

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.batches import Progress
from schemas.metrics import Metrics
from semloop.delta.streams import Partition, StreamId
from semloop.kafka.clients import client_config
from semloop.kafka.topic import Topic
from semloop.progress.positions import stream_of
from semloop.settings import Settings
from semloop.storage.location import Storage
from sinks.archive_tables import ArchiveTables
from sinks.commit_loop import CommitLoop
from sinks.flow_tables import FlowContext
from tests.doctor.run_checks import Read, Send
from tests.support.builders import decoded_rows
from tests.support.prompt_producer import prompt_producer
from tests.support.services import wait_for


@pytest.fixture
def read(settings: Settings, topic: Topic) -> Read:
    """Return a function that simulates a run of `archive`, up to `last` of partition 0."""

    def run(last: int = -1, partitions: int = 4, **other: str) -> None:
        own = stream_of(topic)
        cluster_id = other.get("cluster_id", own.cluster_id)
        topic_id = other.get("topic_id", own.topic_id)
        stream = StreamId(own.flow, cluster_id, own.topic, topic_id)
        immediate = settings.replace(commit_rows=1)
        context = FlowContext(immediate, Storage.of(settings), Metrics())
        tables = ArchiveTables(context, stream, range(partitions))
        tables.take_over(new_log=True)
        if last >= 0:
            rows = decoded_rows([(0, last)], [], {})
            read = Progress({Partition(topic_id, 0): last})
            CommitLoop(immediate, tables).add(replace(rows, progress=read))

    return run


@pytest.fixture
def send(settings: Settings, topic: Topic) -> Send:
    """Return a function that produces records to partition 0; timestamp 0 is now."""
    # Just after the topic was created, a broker may not know its partitions yet.
    wait_for("the partitions", lambda: _have_ends(settings, topic))

    def run(count: int, timestamp_ms: int = 0) -> None:
        producer = prompt_producer(settings)
        for _ in range(count):
            producer.produce(settings.topic, b"{}", partition=0, timestamp=timestamp_ms)
        assert producer.flush(60) == 0

    return run


def _have_ends(settings: Settings, topic: Topic) -> bool:
    consumer = Consumer(client_config(settings) | {"group.id": "test"})
    try:
        for number in range(topic.partitions):
            consumer.get_watermark_offsets(TopicPartition(topic.name, number), 10)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return True
