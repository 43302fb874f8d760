"""Backlog of a flow: records in Kafka beyond its positions.

The backlog is counted by reading from the position to PARTITION_EOF: offsets have gaps,
and the watermarks of some brokers are stale or count a batch as one record. If reading
to the end would take too long, the numbers are lower bounds.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from semloop.progress.positions import Position
from semloop.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from semloop.kafka.refusals import ConnectionErrors

# Limits of `status`; beyond them it reports "at least".
COUNT_RECORDS_MAX = 20_000
COUNT_S = 2.0
# The embedded broker leaves such a gap after a power failure; this many offsets say
# nothing about the number of records.
GAP_OFFSETS = 10_000_000


@dataclass
class Backlog:
    """Records of a partition that are not in the lake yet."""

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
        """Number of records that are not in the lake yet."""
        return sum(backlog.records for backlog in self.backlogs)

    @property
    def at_least(self) -> bool:
        """True if there may be more."""
        return any(backlog.at_least for backlog in self.backlogs)

    @property
    def is_empty(self) -> bool:
        """True if everything is known to be in the lake."""
        return not self.records and not self.at_least

    def __str__(self) -> str:
        least = "at least " if self.at_least else ""
        return f"{least}{self.records:,} record{'' if self.records == 1 else 's'}"

    def by_partition(self) -> str:
        """Return the partitions with a backlog, for display."""
        behind = [b for b in self.backlogs if b.records or b.at_least]
        return ", ".join(f"{b.partition}: {b.records:,}" for b in behind)


def missing(
    settings: Settings,
    found: Mapping[int, Position],
    records_max: int | None = COUNT_RECORDS_MAX,
    seconds: float | None = COUNT_S,
) -> Missing:
    """Count the records beyond the positions, up to the current ends.

    Args:
        settings: broker and topic.
        found: partition -> position.
        records_max: stop counting after this many records; None: no limit.
        seconds: stop counting after this time; None: no limit.

    Raises:
        BrokerError: the broker refuses the connection, initially or while reading.
    """
    from semloop.kafka.refusals import ConnectionErrors

    if not found:
        return Missing()
    config = _config(settings)
    connection_errors = ConnectionErrors(config)
    consumer = _consumer(
        settings.topic,
        config | {"error_cb": connection_errors},
        {p: at.last_offset for p, at in found.items()},
    )
    backlogs = {p: Backlog(p, at.last_offset + 1) for p, at in found.items()}
    try:
        unfinished = _count(consumer, connection_errors, backlogs, records_max, seconds)
        for backlog in unfinished:
            _estimate(consumer, settings.topic, backlog)
    finally:
        consumer.close()
    return Missing([backlogs[p] for p in sorted(backlogs)])


def _count(
    consumer: "Consumer",
    connection_errors: "ConnectionErrors",
    backlogs: Mapping[int, Backlog],
    records_max: int | None,
    seconds: float | None,
) -> list[Backlog]:
    """Read to the ends; return the backlogs whose end was not reached."""
    from confluent_kafka import KafkaError

    deadline = None if seconds is None else time.monotonic() + seconds
    read = 0
    while unfinished := [b for b in backlogs.values() if b.end is None]:
        if deadline is not None and time.monotonic() >= deadline:
            return unfinished
        if records_max is not None and read >= records_max:
            return unfinished
        # The type stubs declare even an offset as optional.
        messages: Any = consumer.consume(1_000, 0.1)
        connection_errors.raise_refusal()
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
            # No offsets are committed, so group permission is not needed.
            elif error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                connection_errors(error)
    return []


def _estimate(consumer: "Consumer", topic: str, backlog: Backlog) -> None:
    """Estimate a lower bound from the broker's high watermark."""
    from confluent_kafka import KafkaException, TopicPartition

    target = TopicPartition(topic, backlog.partition)
    try:
        _, high = consumer.get_watermark_offsets(target, timeout=COUNT_S)
    except KafkaException:
        high = backlog.next_offset
    backlog.at_least = True
    backlog.end = max(high, backlog.next_offset)
    ahead = backlog.end - backlog.next_offset
    if ahead < GAP_OFFSETS:
        backlog.records += ahead


def _config(settings: Settings) -> dict[str, Any]:
    from semloop.kafka.clients import client_config

    return client_config(settings) | {
        # Required by librdkafka; no offsets are committed for it.
        "group.id": "semloop-status",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        # Records removed by retention are not part of the backlog.
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
