"""How far the flows are: their offsets in the lake, and the end of each partition.

The end is what a PARTITION_EOF says, read from behind the last offset: offsets have
gaps, and a broker may report its watermarks late (the embedded one counts a batch as
one record). Where reading up to there would take too long, the numbers are a least.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from semloop.settings import Settings
from semloop.storage import Storage

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from semloop.kafka.refusals import Heard
    from semloop.kafka.topic import Topic
    from semloop.log_name import LogName

# What `status` reads at most, before it says "at least".
COUNT_RECORDS_MAX = 20_000
COUNT_S = 2.0
LOGS = "logs"
# Flow -> the table whose offsets say how far it is.
MAIN_TABLES = {"archive": "events", "memory": "episodes"}


NEVER_READ = -1


@dataclass(frozen=True)
class Position:
    """How far a partition is in the lake."""

    last_offset: int = NEVER_READ
    caught_up_ms: int | None = None
    epoch: int = 0


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


def log_of(topic: "Topic") -> "LogName":
    """The name under which `archive` files the offsets of a topic."""
    from semloop.log_name import LogName
    from sinks.archive_tables import FLOW

    return LogName(FLOW, topic.cluster_id, topic.name, topic.topic_id)


def newest_log(storage: Storage, topic: str) -> "tuple[LogName, int] | None":
    """The log that `archive` met last under a topic's name, and its partitions.

    For when no broker can say which one is there now.
    """
    from semloop.log_name import LogName
    from sinks.archive_tables import FLOW, MAIN

    rows = [
        row
        for row in _logs(storage)
        if (row["flow"], row["table_name"], row["topic"]) == (FLOW, MAIN, topic)
    ]
    if not rows:
        return None
    last = max(rows, key=lambda row: row["first_seen"])
    log = LogName(FLOW, last["cluster_id"], topic, last["topic_id"])
    partitions = [r["kafka_partition"] for r in rows if r["topic_id"] == log.topic_id]
    return log, max(partitions) + 1


def positions_of(
    storage: Storage, flow: str, archived: "LogName", partitions: int
) -> dict[int, Position]:
    """Where a flow is in each partition of a log that `archive` reads.

    Raises:
        LakeError: the tables cannot be read. StorageUnavailable: not now.
    """
    from semloop.log_name import LogName

    if flow == archived.flow:
        return positions(storage, archived, partitions)
    # Other flows file a topic by the name under which it was met first.
    clusters = [
        row["cluster_id"]
        for row in _logs(storage)
        if (row["flow"], row["topic_id"]) == (flow, archived.topic_id)
    ]
    if not clusters:
        return {p: Position() for p in range(partitions)}
    log = LogName(flow, clusters[0], archived.topic, archived.topic_id)
    return positions(storage, log, partitions)


def positions(storage: Storage, log: "LogName", partitions: int) -> dict[int, Position]:
    """Where a flow is in each partition, as its last commit says.

    Raises:
        LakeError: the table cannot be read. StorageUnavailable: not now.
    """
    from deltalake.exceptions import DeltaError

    from semloop.log_name import CAUGHT_UP

    table = MAIN_TABLES[log.flow]
    try:
        if not storage.has(table):
            return {p: Position() for p in range(partitions)}
        version = storage.open(table).transaction_version
    except (DeltaError, OSError) as error:
        raise storage.trouble(error) from error
    found = {}
    for partition in range(partitions):
        name = log.app_id(table, partition)
        last = version(name)
        found[partition] = Position(
            NEVER_READ if last is None else last,
            version(f"{name}{CAUGHT_UP}"),
            (version(f"{name}/fence") or 0) >> 32,
        )
    return found


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


def _logs(storage: Storage) -> Sequence[dict[str, Any]]:
    from deltalake.exceptions import DeltaError

    from sinks.snapshot import Snapshot

    try:
        if not storage.has(LOGS):
            return []
        return Snapshot(storage).all(LOGS)
    except (DeltaError, OSError) as error:
        raise storage.trouble(error) from error
