"""Trims and recreates topics; on a real broker."""

from confluent_kafka import TopicPartition

from semloop.errors import TopicMissing
from semloop.kafka.topic import Topic, TopicAdmin
from semloop.settings import Settings
from tests.flows.flow_runner import kafka_admin
from tests.support.services import wait_for


def trim(settings: Settings, before: int, partition: int = 0) -> None:
    """Delete the records before an offset, as retention does; -1 deletes all."""
    target = TopicPartition(settings.topic, partition, before)
    admin = kafka_admin(settings)
    for future in admin.delete_records([target]).values():
        future.result()


def recreate_topic(settings: Settings) -> Topic:
    """Delete the topic and create it again."""
    topics = TopicAdmin(settings)
    old = topics.describe()
    admin = kafka_admin(settings)
    admin.delete_topics([settings.topic])[settings.topic].result()

    def is_deleted() -> bool:
        try:
            topics.describe()
        except TopicMissing:
            return True
        return False

    wait_for("the deletion of the topic", is_deleted)
    new = topics.ensure()
    assert new.topic_id != old.topic_id
    return new
