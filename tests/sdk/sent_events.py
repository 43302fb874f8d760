"""Reads what an agent has sent to its topic."""

import json
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from semloop.event import decode_envelope, decode_payload
from semloop.kafka.clients import client_config
from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings


def sent(settings: Settings) -> list[dict[str, Any]]:
    """Return all events of the topic, ordered by offset within each partition."""
    topic = TopicAdmin(settings).describe()
    config = {"group.id": "test", "enable.partition.eof": True}
    consumer = Consumer(client_config(settings) | config)
    consumer.assign([TopicPartition(topic.name, p, 0) for p in range(topic.partitions)])
    found, ends = [], 0
    while ends < topic.partitions:
        for message in consumer.consume(500, 1.0):
            if message.error():
                ends += 1
                continue
            value = message.value()
            assert value is not None
            event = json.loads(value)
            assert message.key() == event["meta"]["session_id"].encode()
            decode_payload[event["type"]](decode_envelope(value).payload)
            found.append(event)
    consumer.close()
    return found
