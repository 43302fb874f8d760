"""Has the end of idle partitions reported again: librdkafka reports it once.

An idle flow could not say otherwise that it is *still* caught up.
"""

import time
from collections.abc import Mapping
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, TopicPartition

from semloop.settings import Settings

# Asking for an end again breaks off the broker's long poll, which takes half a second.
END_ASKED_S = 2.0


class IdleEnds:
    """When the end of each partition was last reported; for one consumer."""

    def __init__(self, consumer: Consumer, settings: Settings) -> None:
        """No end was reported yet; `settings` say how often an idle flow commits."""
        self._consumer = consumer
        self._pause_s = max(END_ASKED_S, settings.commits.idle_commit_s / 2)
        self._reported_s: dict[int, float] = {}

    def reported(self, partition: int) -> None:
        """The end of a partition was reported now."""
        self._reported_s[partition] = time.monotonic()

    def ask_again(self, topic: str, following: Mapping[int, int]) -> None:
        """Seek in partitions whose end was reported long ago.

        Args:
            topic: its name.
            following: partition -> offset of the record to come.
        """
        due_s = time.monotonic() - self._pause_s
        for partition, reported_s in self._reported_s.items():
            if reported_s < due_s:
                self._reported_s[partition] = time.monotonic()
                place = TopicPartition(topic, partition, following[partition])
                # Refused while the partition's leader is not known: next time then.
                with suppress(KafkaException):
                    self._consumer.seek(place)
