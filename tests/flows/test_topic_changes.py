"""Flows whose topic is trimmed, repartitioned or recreated; on a real broker."""

import re
import signal

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from semloop.kafka.clients import producer_config
from semloop.kafka.topic import Topic, TopicAdmin
from semloop.settings import Settings
from tests.flows.flow_runner import (
    each_once,
    kafka_admin,
    produce,
    run_archive,
    run_failing_archive,
    running_flow,
    stored_origins,
)
from tests.flows.topics import recreate_topic, trim
from tests.support.builders import an_event, raw
from tests.support.services import wait_for

pytestmark = pytest.mark.real_broker


def abort_transaction(settings: Settings, *values: object) -> None:
    """Produce records to partition 0 in a transaction and abort it."""
    producer = Producer(
        producer_config(settings) | {"transactional.id": settings.topic}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in values:
        producer.produce(settings.topic, raw(value), partition=0)
    producer.flush(30)
    producer.abort_transaction(30)


def last_offset(settings: Settings, partition: int = 0) -> int:
    return max(o for _, p, o in stored_origins(settings) if p == partition)


def test_archive_passes_control_records_at_the_end_without_reporting_a_gap(
    settings: Settings, topic: Topic
) -> None:
    kept = produce(settings, 3, partition=0)
    abort_transaction(settings, an_event(), an_event())  # offsets 3, 4, marker 5
    with running_flow(settings, "--until-caught-up") as flow:
        assert flow.wait_for_exit() == (0, [])
        assert flow.logged("committed")[-1]["offsets"]["0"] == 5
    trim(settings, -1)
    run_archive(settings)
    kept |= produce(settings, 2, partition=0)
    run_archive(settings)
    assert stored_origins(settings) == each_once({topic.topic_id: kept})


def test_archive_starts_on_a_topic_with_expired_first_records(
    settings: Settings, topic: Topic
) -> None:
    kept = produce(settings, 10, partition=0)
    trim(settings, 4)
    produce(settings, 5, partition=1)
    trim(settings, -1, partition=1)
    for _ in range(2):
        run_archive(settings)
        left = {(p, o) for p, o in kept if p == 0 and o >= 4}
        assert stored_origins(settings) == each_once({topic.topic_id: left})
    left |= produce(settings, 2, partition=1)
    run_archive(settings)
    assert stored_origins(settings) == each_once({topic.topic_id: left})


def test_running_archive_stores_read_records_before_it_reports_a_retention_gap(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, 10, partition=0)
    # No commit is due by age: only the gap makes the flow commit its buffer.
    no_age_commits = {"SEMLOOP_COMMIT_INTERVAL_S": "3600", "SEMLOOP_COMMIT_ROWS": "10"}
    with running_flow(settings, **no_age_commits) as flow:
        flow.wait_until_stored(10)
        produce(settings, 5, partition=0)
        flow.signal(signal.SIGSTOP)
        # The flow still reads what its socket has buffered; later records are deleted.
        produce(settings, 2_000, partition=0)
        produce(settings, 2_000, partition=0)
        trim(settings, 4_000)
        flow.signal(signal.SIGCONT)
        code, messages = flow.wait_for_exit()
    assert (code, len(messages)) == (1, 2), messages
    match = re.search(
        r": retention removed (\d+) offsets, starting at (\d+)\.", messages[0]
    )
    assert match, messages
    gone, first = map(int, match.groups())
    assert first == last_offset(settings) + 1
    assert first + gone == 4_000
    assert "--accept-gap" in messages[1]
    assert run_failing_archive(settings) == messages
    run_archive(settings, accept_gap=True)
    kept = {(0, o) for o in range(4_015) if not first <= o < 4_000}
    assert stored_origins(settings) == each_once({topic.topic_id: kept})
    run_archive(settings)


def test_archive_ends_when_its_topic_is_recreated_and_then_reads_the_new_topic(
    settings: Settings, topic: Topic
) -> None:
    before = produce(settings, 10, partition=0)
    with running_flow(settings, SEMLOOP_FENCE_CHECK_S="0.2") as flow:
        flow.wait_until_stored(10)
        new = recreate_topic(settings)
        after = produce(settings, 4, partition=0)
        code, messages = flow.wait_for_exit()
    assert len(messages) == 2
    missing = messages[0].startswith(f"There is no topic {settings.topic!r}")
    recreated = "was deleted and recreated" in messages[0]
    assert (code, missing, recreated) in ((4, False, True), (1, True, False)), messages
    run_archive(settings)
    assert stored_origins(settings) == each_once(
        {topic.topic_id: before, new.topic_id: after}
    )


def test_archive_reads_a_topic_recreated_while_it_was_down_from_the_beginning(
    settings: Settings, topic: Topic
) -> None:
    topics = {topic.topic_id: produce(settings, 10, partition=0)}
    run_archive(settings)
    for records in (3, 30):  # fewer than the old offset, then more
        new = recreate_topic(settings)
        topics[new.topic_id] = produce(settings, records, partition=0)
        run_archive(settings)
        assert stored_origins(settings) == each_once(topics)


def test_added_partitions_end_archive_and_the_next_run_reads_them_from_the_start(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings, 10)
    with running_flow(settings) as flow:
        flow.wait_until_stored(10)
        admin = kafka_admin(settings)
        futures = admin.create_partitions([NewPartitions(settings.topic, 6)])
        futures[settings.topic].result()

        # Brokers publish new partitions with a delay.
        def partitions_are_visible() -> bool:
            return TopicAdmin(settings).describe().partitions == 6

        wait_for("the new partitions", partitions_are_visible)
        for partition in (0, 4, 5):
            sent |= produce(settings, 3, partition=partition)
        code, messages = flow.wait_for_exit()
    assert (code, len(messages)) == (4, 2), messages
    assert "went from 4 to 6 partitions" in messages[0]
    for _ in range(2):
        run_archive(settings)
        assert stored_origins(settings) == each_once({topic.topic_id: sent})
