"""Make librdkafka report the end of idle partitions repeatedly.

By itself it reports an end once, so an idle flow could not show that it is *still*
caught up.
"""

import time
from collections.abc import Mapping
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, TopicPartition

from semloop.settings import Settings

# Minimum pause: each seek interrupts a long poll of the broker.
SEEK_PAUSE_S = 2.0


class IdleEnds:
    """Time of the last reported end of each partition of one consumer."""

    def __init__(self, consumer: Consumer, settings: Settings) -> None:
        """Derive the pause between reports from `idle_commit_s`."""
        self._consumer = consumer
        self._pause_s = max(SEEK_PAUSE_S, settings.commits.idle_commit_s / 2)
        self._reported_s: dict[int, float] = {}

    def reported(self, partition: int) -> None:
        """Record that the end of a partition was reported now."""
        self._reported_s[partition] = time.monotonic()

    def request_again(self, topic: str, next_offsets: Mapping[int, int]) -> None:
        """Seek in partitions whose end was not reported recently.

        Args:
            topic: topic name.
            next_offsets: partition -> offset of the next record.
        """
        due_s = time.monotonic() - self._pause_s
        for partition, reported_s in self._reported_s.items():
            if reported_s < due_s:
                self._reported_s[partition] = time.monotonic()
                place = TopicPartition(topic, partition, next_offsets[partition])
                # Fails while the partition's leader is unknown; the next call retries.
                with suppress(KafkaException):
                    self._consumer.seek(place)
