"""A topic that changes under the flow: trimmed, grown, made again; on a real broker."""

import re
import signal

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from semloop.errors import TopicMissing
from semloop.kafka.clients import producer_config
from semloop.kafka.topic import Topic, TopicAdmin
from semloop.settings import Settings
from tests.builders import an_event, raw
from tests.flows.a_flow import (
    a_flow,
    admin_of,
    archived,
    once,
    produce,
    refused,
    stored,
)
from tests.services import wait_for

pytestmark = pytest.mark.real_broker


def trim(settings: Settings, before: int, partition: int = 0) -> None:
    """Remove the records before an offset, as retention does; -1 for all."""
    place = TopicPartition(settings.topic, partition, before)
    admin = admin_of(settings)
    for done in admin.delete_records([place]).values():
        done.result()


def end(settings: Settings, commits: bool, *values: object) -> None:
    """A transaction with these records in partition 0, committed or aborted."""
    producer = Producer(
        producer_config(settings) | {"transactional.id": settings.topic}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in values:
        producer.produce(settings.topic, raw(value), partition=0)
    producer.flush(30)
    (producer.commit_transaction if commits else producer.abort_transaction)(30)


def made_again(settings: Settings) -> Topic:
    """Delete the topic and make it anew."""
    topics = TopicAdmin(settings)
    old = topics.describe()
    admin = admin_of(settings)
    admin.delete_topics([settings.topic])[settings.topic].result()

    def gone() -> bool:
        try:
            topics.describe()
        except TopicMissing:
            return True
        return False

    wait_for("the topic to go", gone)
    new = topics.ensure()
    assert new.topic_id != old.topic_id
    return new


def last_offset(settings: Settings, partition: int = 0) -> int:
    return max(o for _, p, o in stored(settings) if p == partition)


def test_control_records_at_the_very_end_are_passed_and_never_missed(
    settings: Settings, topic: Topic
) -> None:
    kept = produce(settings, 3, partition=0)
    end(settings, False, an_event(), an_event())  # offsets 3, 4 and the marker 5
    with a_flow(settings, "--until-caught-up") as flow:
        assert flow.ends() == (0, [])
        assert flow.logged("committed")[-1]["offsets"]["0"] == 5
    trim(settings, -1)
    archived(settings)
    kept |= produce(settings, 2, partition=0)
    archived(settings)
    assert stored(settings) == once({topic.topic_id: kept})


def test_a_topic_whose_beginning_is_gone_is_read_without_a_complaint(
    settings: Settings, topic: Topic
) -> None:
    kept = produce(settings, 10, partition=0)
    trim(settings, 4)
    produce(settings, 5, partition=1)
    trim(settings, -1, partition=1)
    for _ in range(2):
        archived(settings)
        left = {(p, o) for p, o in kept if p == 0 and o >= 4}
        assert stored(settings) == once({topic.topic_id: left})
    left |= produce(settings, 2, partition=1)
    archived(settings)
    assert stored(settings) == once({topic.topic_id: left})


def test_a_gap_while_it_runs_is_said_after_what_was_read_is_stored(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, 10, partition=0)
    # Nothing is committed for its age: only the gap makes it commit what it holds.
    patient = {"SEMLOOP_COMMIT_INTERVAL_S": "3600", "SEMLOOP_COMMIT_ROWS": "10"}
    with a_flow(settings, **patient) as flow:
        flow.wait_until_stored(10)
        produce(settings, 5, partition=0)
        flow.signal(signal.SIGSTOP)
        # What waits in its socket is read all the same; what comes later is gone.
        produce(settings, 2_000, partition=0)
        produce(settings, 2_000, partition=0)
        trim(settings, 4_000)
        flow.signal(signal.SIGCONT)
        code, said = flow.ends()
    assert (code, len(said)) == (1, 2), said
    found = re.search(
        r": retention removed (\d+) offsets, starting at (\d+)\.", said[0]
    )
    assert found, said
    gone, first = map(int, found.groups())
    assert first == last_offset(settings) + 1
    assert first + gone == 4_000
    assert "--accept-gap" in said[1]
    assert refused(settings) == said
    archived(settings, "--accept-gap")
    kept = {(0, o) for o in range(4_015) if not first <= o < 4_000}
    assert stored(settings) == once({topic.topic_id: kept})
    archived(settings)


def test_a_topic_made_again_while_it_runs_is_read_from_its_beginning(
    settings: Settings, topic: Topic
) -> None:
    before = produce(settings, 10, partition=0)
    with a_flow(settings, SEMLOOP_FENCE_CHECK_S="0.2") as flow:
        flow.wait_until_stored(10)
        new = made_again(settings)
        after = produce(settings, 4, partition=0)
        code, said = flow.ends()
    assert len(said) == 2
    missing = said[0].startswith(f"There is no topic {settings.topic!r}")
    again = "was deleted and made again" in said[0]
    assert (code, missing, again) in ((4, False, True), (1, True, False)), said
    archived(settings)
    assert stored(settings) == once({topic.topic_id: before, new.topic_id: after})


def test_a_topic_made_again_while_it_is_down_is_read_from_its_beginning(
    settings: Settings, topic: Topic
) -> None:
    topics = {topic.topic_id: produce(settings, 10, partition=0)}
    archived(settings)
    for records in (3, 30):  # fewer than the old offset, and more
        new = made_again(settings)
        topics[new.topic_id] = produce(settings, records, partition=0)
        archived(settings)
        assert stored(settings) == once(topics)


def test_added_partitions_end_it_and_are_read_from_their_beginning(
    settings: Settings, topic: Topic
) -> None:
    sent = produce(settings, 10)
    with a_flow(settings) as flow:
        flow.wait_until_stored(10)
        admin = admin_of(settings)
        grown = admin.create_partitions([NewPartitions(settings.topic, 6)])
        grown[settings.topic].result()

        # A producer learns of new partitions by and by.
        def known() -> bool:
            return TopicAdmin(settings).describe().partitions == 6

        wait_for("the new partitions", known)
        for partition in (0, 4, 5):
            sent |= produce(settings, 3, partition=partition)
        code, said = flow.ends()
    assert (code, len(said)) == (4, 2), said
    assert "went from 4 to 6 partitions" in said[0]
    for _ in range(2):
        archived(settings)
        assert stored(settings) == once({topic.topic_id: sent})
