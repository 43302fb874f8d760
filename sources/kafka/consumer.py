"""How the consumer of a flow is configured, and which of its errors pass."""

from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from semloop.errors import BrokerError, BrokerUnavailable
from semloop.kafka.clients import address, client_config
from semloop.kafka.topic import ANSWER_S
from semloop.settings import Settings

# Errors that librdkafka overcomes by itself once the broker is back.
PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)


def consumer_config(settings: Settings, group: str) -> dict[str, Any]:
    """The configuration of the consumer that a flow reads with, for librdkafka."""
    return client_config(settings) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # The default would silently jump to the end when retention was faster.
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        # The default of a second makes a fast reader wait most of the time.
        "fetch.queue.backoff.ms": 5,
        "queued.max.messages.kbytes": settings.archive.fetch_memory_mb * 1024,
        "fetch.message.max.bytes": 4 * 2**20,
    }


def raise_if_lasting(error: Any) -> None:
    """Raise a consumer's error, unless librdkafka overcomes it by itself.

    Raises:
        BrokerError: only a change by a human helps.
    """
    if error.code() not in PASSING or error.fatal():
        msg = f"Kafka refuses to go on: {error.name()}."
        todo = "Check the broker's log and the rights of this user."
        raise BrokerError(msg, todo)


def held_offsets(
    consumer: Consumer, place: TopicPartition, settings: Settings
) -> tuple[int, int]:
    """Oldest offset and end of a partition, as the broker says now.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    try:
        low, high = consumer.get_watermark_offsets(place, ANSWER_S)
    except KafkaException as error:
        msg = (
            f"{address(settings)} does not say which offsets there are"
            f" in {place.topic!r} ({error.args[0].name()})."
        )
        todo = "Check that the broker runs, and start the flow again."
        raise BrokerUnavailable(msg, todo) from None
    return int(low), int(high)
