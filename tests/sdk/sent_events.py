"""Reads what an agent has sent to its topic."""

import json
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

from semloop.event import IDEMPOTENCY_HEADER, decode_envelope, decode_payload
from semloop.kafka.clients import client_config
from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings


def sent(settings: Settings) -> list[dict[str, Any]]:
    """Return all events of the topic, ordered by offset within each partition."""
    return [event for event, _ in _events(settings)]


def sent_ids(settings: Settings) -> list[str]:
    """Return the ids of the events of the topic, as the archive counts them.

    An event that another producer may have sent before has a header, with which the
    archive finds the other: of such copies one is returned.
    """
    found: list[str] = []
    again: set[str] = set()
    for event, message in _events(settings):
        if IDEMPOTENCY_HEADER in dict(message.headers() or ()):
            again.add(event["id"])
        else:
            found.append(event["id"])
    return found + sorted(again - set(found))


def _events(settings: Settings) -> Iterator[tuple[dict[str, Any], Message]]:
    topic = TopicAdmin(settings).describe()
    config = {"group.id": "test", "enable.partition.eof": True}
    consumer = Consumer(client_config(settings) | config)
    consumer.assign([TopicPartition(topic.name, p, 0) for p in range(topic.partitions)])
    ends = 0
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
            yield event, message
    consumer.close()
