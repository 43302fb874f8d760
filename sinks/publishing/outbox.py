"""Produces messages about commits, without making the flow wait for the broker.

Messages are about rows that are in the lake: the flow continues if a message fails.
What was not delivered is read from the lake again, once the broker answers.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from semloop.errors import SemLoopError
from semloop.kafka.clients import producer_config
from semloop.kafka.published_topics import missing, topic_name
from semloop.published import PublishedMessage, PublishedTopic
from sinks.flow_tables import FlowContext

# Pause after a failure: a broker that is down must not cost a flow that works.
RETRY_S = 30.0
# Messages in memory that wait for the broker; beyond that they are read again later.
MESSAGES_MAX = 20_000
# Batches of messages that wait for a place among these.
BATCHES_MAX = 1_000
PRODUCER_CONFIG = {
    "queue.buffering.max.messages": MESSAGES_MAX,
    "queue.buffering.max.kbytes": 16 * 1024,
}

log = structlog.get_logger("publish")


class _Batch(NamedTuple):
    topic: PublishedTopic
    messages: Iterator[PublishedMessage]


class Outbox:
    """The producer of one worker.

    Unit of parallelism: a worker. Guarantee: `position` grows only past commits all of
    whose messages the broker has acknowledged. So each message is produced at least
    once if what is beyond `position` is sent again after `open`.

    Attributes:
        position: version of the main table up to which everything is produced.
    """

    def __init__(
        self, context: FlowContext, flow: str, topics: Sequence[PublishedTopic]
    ) -> None:
        """Connect to nothing yet.

        Args:
            context: settings, metrics and clock.
            flow: in metrics.
            topics: that the flow produces to.
        """
        self.position = 0
        self._context, self._flow, self._topics = context, flow, tuple(topics)
        self._producer: Producer | None = None
        self._batches: deque[_Batch] = deque()
        self._in_flight = 0
        self._sent = 0
        self._failure = ""
        self._due_s = 0.0
        self._reported = ""

    @property
    def is_open(self) -> bool:
        """True if messages can be sent."""
        return self._producer is not None

    @property
    def is_idle(self) -> bool:
        """True if all messages are acknowledged."""
        return not (self._batches or self._in_flight)

    def open(self) -> bool:
        """Open the producer if that is due and all topics exist; True if it is open.

        Afterwards everything beyond `position` must be sent.
        """
        now_s = time.monotonic()
        if now_s < self._due_s:
            return False
        self._due_s = now_s + RETRY_S
        try:
            absent = missing(self._context.settings, self._topics)
            if absent:
                self._report(f"there is no topic {', '.join(absent)}")
                return False
            config = producer_config(self._context.settings) | PRODUCER_CONFIG
            self._producer = Producer(config | {"error_cb": lambda error: None})
        except SemLoopError as error:
            self._report(error.what)
        except KafkaException as error:
            self._report(error.args[0].name())
        else:
            self._sent, self._in_flight, self._failure = self.position, 0, ""
        return self.is_open

    def send(self, topic: PublishedTopic, messages: Iterator[PublishedMessage]) -> None:
        """Send messages as soon as there is room for them."""
        self._batches.append(_Batch(topic, messages))
        if len(self._batches) > BATCHES_MAX:
            self._failure = "the broker takes messages too slowly"

    def sent(self, version: int) -> None:
        """Note that all messages about commits up to a version were passed to `send`.

        Call it after `send`, and `poll` before the next `send`.
        """
        self._sent = version

    def poll(self) -> None:
        """Pass messages to the broker, and learn which ones it has."""
        if self._producer is None:
            return
        self._fill(self._producer)
        self._producer.poll(0)
        if self._failure:
            self._close()
        elif self.is_idle:
            self.position = self._sent
            if self._reported:
                log.info("topics are produced to again", flow=self._flow)
                self._reported = ""

    def fail(self, reason: str) -> None:
        """Drop what waits: the lake cannot be read now."""
        self._failure = reason
        self.poll()

    def flush(self, seconds: float) -> None:
        """Wait until the messages are acknowledged, at most for a time."""
        deadline_s = time.monotonic() + seconds
        while self._producer is not None and not self.is_idle:
            if time.monotonic() > deadline_s:
                self._failure = "no acknowledgement in time"
            self._producer.poll(0.05)
            self.poll()

    def _fill(self, producer: Producer) -> None:
        while self._batches and self._in_flight < MESSAGES_MAX:
            topic, messages = self._batches[0]
            taken = list(islice(messages, MESSAGES_MAX - self._in_flight))
            if not taken:
                self._batches.popleft()
                continue
            name = topic_name(self._context.settings, topic)
            try:
                for message in taken:
                    value = msgspec.json.encode(message)
                    producer.produce(
                        name, value, message.key, on_delivery=self._delivered
                    )
                    self._in_flight += 1
            except (BufferError, KafkaException) as error:
                self._failure = self._failure or type(error).__name__
                return
            labels = {"flow": self._flow, "topic": topic.name}
            self._context.metrics.add("semloop_published_total", len(taken), **labels)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        self._in_flight -= 1
        if error is not None:
            self._failure = self._failure or error.name()

    def _close(self) -> None:
        """Drop what waits: it is in the lake, and is read again after `open`."""
        assert self._producer is not None
        self._producer.purge()
        self._producer = None
        self._batches.clear()
        self._due_s = time.monotonic() + RETRY_S
        self._report(self._failure)

    def _report(self, reason: str) -> None:
        self._context.metrics.add("semloop_publish_failures_total", flow=self._flow)
        if reason == self._reported:
            return
        self._reported = reason
        log.warning(
            "topics are not produced to, the flow continues: what is missing follows "
            "later. Make the topics with `semloop doctor --fix`, and grant Write",
            flow=self._flow,
            reason=reason,
        )
