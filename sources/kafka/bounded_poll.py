"""Polls of bounded size: a consumer's messages, cut by number and by bytes.

The cost of a poll grows with its bytes, and while a poll is processed a flow shows no
sign of life. The slowest text that is known takes about two seconds per MiB to redact.
"""

import time
from typing import Any

from confluent_kafka import Consumer

# A larger record is a poll of its own.
POLL_BYTES_MAX = 2 * 2**20


class BoundedPoll:
    """Returns messages of one consumer in order; keeps those beyond a bound.

    Attributes:
        emptied_ms: wall clock, in milliseconds, when the consumer's queue was last
            known to be empty before it received the messages that `take` returned.
    """

    def __init__(
        self, consumer: Consumer, records_max: int, bytes_max: int = POLL_BYTES_MAX
    ) -> None:
        """Read nothing yet.

        Args:
            consumer: its messages are returned.
            records_max: messages per poll at most.
            bytes_max: bytes of the values of a poll at most, unless it is one message.
        """
        self.emptied_ms = time.time_ns() // 1_000_000
        self._consumer = consumer
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._held: list[Any] = []
        self._next_emptied_ms = self.emptied_ms

    @property
    def holds_messages(self) -> bool:
        """True if the consumer's own position is beyond the last returned message."""
        return bool(self._held)

    def take(self, timeout_s: float) -> list[Any]:
        """Return the next messages; none after `timeout_s` seconds without any."""
        if not self._held:
            self.emptied_ms = self._next_emptied_ms
            self._held = self._consumer.consume(self._records_max, timeout_s)
            if len(self._held) < self._records_max:
                self._next_emptied_ms = time.time_ns() // 1_000_000
        count = self._count()
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def drop(self) -> None:
        """Forget the kept messages: the consumer will fetch them again."""
        self._held = []

    def _count(self) -> int:
        """Return how many of the kept messages are within the bound; at least one."""
        size = 0
        for count, message in enumerate(self._held):
            # The value of a message with an error is the error's text.
            size += len(message.value() or b"")
            if size > self._bytes_max and count:
                return count
        return len(self._held)
