"""Configuration of a flow's consumer, and its retryable errors."""

from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from semloop.errors import BrokerError, BrokerUnavailable
from semloop.kafka.clients import address, client_config
from semloop.kafka.topic import ANSWER_S
from semloop.settings import Settings

# Errors from which librdkafka recovers by itself once the broker is up again.
RETRYABLE_ERRORS = frozenset(
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
    """Return the librdkafka configuration of the consumer that a flow reads with."""
    return client_config(settings) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # The default would silently skip to the end after retention removed records.
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        # With the default of one second a fast reader waits most of the time.
        "fetch.queue.backoff.ms": 5,
        # The end of a partition is reported by a fetch that finds no records. It lasts
        # half a second by default, for which a flow that has caught up would wait.
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": settings.archive.fetch_memory_mb * 1024,
        "fetch.message.max.bytes": 4 * 2**20,
    }


def raise_if_permanent(error: Any) -> None:
    """Raise a consumer's error, unless librdkafka recovers from it by itself.

    Raises:
        BrokerError: an operator has to fix it.
    """
    if error.code() not in RETRYABLE_ERRORS or error.fatal():
        msg = f"Kafka returned an error that a retry cannot fix: {error.name()}."
        todo = "Check the broker's log and the permissions of this user."
        raise BrokerError(msg, todo)


def available_offsets(
    consumer: Consumer, place: TopicPartition, settings: Settings
) -> tuple[int, int]:
    """Query the broker for the oldest offset and the end of a partition.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    try:
        low, high = consumer.get_watermark_offsets(place, ANSWER_S)
    except KafkaException as error:
        msg = (
            f"{address(settings)} does not return the offsets of topic"
            f" {place.topic!r} ({error.args[0].name()})."
        )
        todo = "Check that the broker is running, and restart the flow."
        raise BrokerUnavailable(msg, todo) from None
    return int(low), int(high)
