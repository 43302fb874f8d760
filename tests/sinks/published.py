"""Reads what a flow has produced to its topics, and finishes the flows of tests."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
from confluent_kafka import Consumer, TopicPartition

from schemas.json_schema import message_schema
from semloop.kafka.clients import client_config
from semloop.kafka.published_topics import topic_name
from semloop.published import PUBLISHED
from semloop.settings import Settings
from tests.schemas.json_validation import validated

PARTITIONS = 4


def publishing(settings: Settings, *names: str, **more: object) -> Settings:
    """Settings that produce to topics that no other test uses."""
    prefix = f"out-{uuid.uuid4().hex[:12]}."
    return settings.replace(publish=names, publish_prefix=prefix, **more)


def produced(settings: Settings, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Return key and value of all messages of a topic, each valid, in order."""
    topic = topic_name(settings, PUBLISHED[name])
    schema = message_schema(PUBLISHED[name])
    found = []
    for key, value in _records(settings, topic):
        found.append((key, validated(msgspec.json.decode(value), schema)))
    return found


def _records(settings: Settings, topic: str) -> Iterator[tuple[str, bytes]]:
    config = client_config(settings) | {
        "group.id": "test", "enable.partition.eof": True,
        "auto.offset.reset": "earliest", "enable.auto.commit": False,
    }  # fmt: skip
    with closing(Consumer(config)) as consumer:
        consumer.assign([TopicPartition(topic, n, 0) for n in range(PARTITIONS)])
        left = set(range(PARTITIONS))
        while left:
            message = consumer.poll(30)
            assert message is not None, "the broker is silent"
            if message.error():
                left.discard(message.partition())
            else:
                yield (message.key() or b"").decode(), message.value() or b""
