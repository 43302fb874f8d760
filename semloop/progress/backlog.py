"""What Kafka still holds beyond the positions of a flow.

The end is what a PARTITION_EOF says, read from behind the last offset: offsets have
gaps, and a broker may report its watermarks late (the embedded one counts a batch as
one record). Where reading up to there would take too long, the numbers are a least.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from semloop.progress.positions import Position
from semloop.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from semloop.kafka.refusals import Heard

# What `status` reads at most, before it says "at least".
COUNT_RECORDS_MAX = 20_000
COUNT_S = 2.0


@dataclass
class Backlog:
    """What of a partition is not in the lake yet."""

    partition: int
    next_offset: int
    records: int = 0
    end: int | None = None
    at_least: bool = False
    oldest_ms: int | None = None


@dataclass
class Missing:
    """The backlogs of all partitions."""

    backlogs: list[Backlog] = field(default_factory=list)

    @property
    def records(self) -> int:
        """Records that are not in the lake yet."""
        return sum(backlog.records for backlog in self.backlogs)

    @property
    def at_least(self) -> bool:
        """Whether there may be more."""
        return any(backlog.at_least for backlog in self.backlogs)

    @property
    def nothing(self) -> bool:
        """Whether everything is in the lake, for certain."""
        return not self.records and not self.at_least

    def __str__(self) -> str:
        least = "at least " if self.at_least else ""
        return f"{least}{self.records:,} record{'' if self.records == 1 else 's'}"

    def by_partition(self) -> str:
        """Partitions with something missing, for people."""
        waiting = [b for b in self.backlogs if b.records or b.at_least]
        return ", ".join(f"{b.partition}: {b.records:,}" for b in waiting)


def missing(
    settings: Settings,
    found: Mapping[int, Position],
    records_max: int | None = COUNT_RECORDS_MAX,
    seconds: float | None = COUNT_S,
) -> Missing:
    """Count what lies behind the positions, up to the ends that there are now.

    Args:
        settings: broker and topic.
        found: partition -> position.
        records_max: stop counting here; None: never.
        seconds: likewise.

    Raises:
        BrokerError: the broker refuses us, now or while it was read.
    """
    from semloop.kafka.refusals import Heard

    if not found:
        return Missing()
    config = _config(settings)
    heard = Heard(config)
    consumer = _consumer(
        settings.topic,
        config | {"error_cb": heard},
        {p: at.last_offset for p, at in found.items()},
    )
    backlogs = {p: Backlog(p, at.last_offset + 1) for p, at in found.items()}
    try:
        waiting = _count(consumer, heard, backlogs, records_max, seconds)
        for backlog in waiting:
            _estimate(consumer, settings.topic, backlog)
    finally:
        consumer.close()
    return Missing([backlogs[p] for p in sorted(backlogs)])


def _count(
    consumer: "Consumer",
    heard: "Heard",
    backlogs: Mapping[int, Backlog],
    records_max: int | None,
    seconds: float | None,
) -> list[Backlog]:
    """Read to the ends; gives the backlogs whose end was not reached."""
    from confluent_kafka import KafkaError

    deadline = None if seconds is None else time.monotonic() + seconds
    read = 0
    while waiting := [b for b in backlogs.values() if b.end is None]:
        if deadline is not None and time.monotonic() >= deadline:
            return waiting
        if records_max is not None and read >= records_max:
            return waiting
        # The stubs say that even an offset may be None.
        messages: Any = consumer.consume(1_000, 0.1)
        heard.raise_refusal()
        for message in messages:
            error = message.error()
            backlog = backlogs.get(message.partition())
            if backlog is None or backlog.end is not None:
                continue
            if error is None:
                read += 1
                backlog.records += 1
                backlog.next_offset = message.offset() + 1
                if backlog.oldest_ms is None:
                    backlog.oldest_ms = message.timestamp()[1]
            elif error.code() == KafkaError._PARTITION_EOF:
                backlog.end = message.offset()
            elif error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                heard(
                    error
                )  # Nothing is committed, so no right on the group is needed.
    return []


def _estimate(consumer: "Consumer", topic: str, backlog: Backlog) -> None:
    """The least that there is, by what the broker says about the end."""
    from confluent_kafka import KafkaException, TopicPartition

    place = TopicPartition(topic, backlog.partition)
    try:
        _, high = consumer.get_watermark_offsets(place, timeout=COUNT_S)
    except KafkaException:
        high = backlog.next_offset
    backlog.at_least = True
    backlog.end = max(high, backlog.next_offset)
    backlog.records += backlog.end - backlog.next_offset


def _config(settings: Settings) -> dict[str, Any]:
    from semloop.kafka.clients import client_config

    return client_config(settings) | {
        # Needed by the library; nothing is committed under it.
        "group.id": "semloop-status",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        # What retention took can no longer be missing.
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 50,
        "fetch.queue.backoff.ms": 5,
        "queued.max.messages.kbytes": 32 * 1024,
    }


def _consumer(
    topic: str, config: dict[str, Any], last_offsets: Mapping[int, int]
) -> "Consumer":
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer(config)
    consumer.assign(
        [
            TopicPartition(topic, p, OFFSET_BEGINNING if last < 0 else last + 1)
            for p, last in last_offsets.items()
        ]
    )
    return consumer
