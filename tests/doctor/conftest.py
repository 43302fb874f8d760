from dataclasses import replace

import pytest

from schemas.batches import Progress
from schemas.metrics import Metrics
from semloop.delta.streams import Partition, StreamId
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

    def run(count: int, timestamp_ms: int = 0) -> None:
        producer = prompt_producer(settings)
        for _ in range(count):
            producer.produce(settings.topic, b"{}", partition=0, timestamp=timestamp_ms)
        assert producer.flush(60) == 0

    return run
