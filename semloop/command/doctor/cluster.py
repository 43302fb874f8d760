"""Read-only queries to a Kafka cluster beyond those that flows need."""

import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]

from semloop.kafka.clients import client_config
from semloop.kafka.topic import ANSWER_S, POLL_S, TopicAdmin
from semloop.progress.backlog import COUNT_S

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

# Answers about the partitions of a topic that was just created.
NOT_YET_KNOWN = frozenset(
    {
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    }
)
# Brokers know them within a second; a check may take twelve.
NEW_TOPIC_S = 5.0
# The last record of a transaction is a marker, which consumers do not receive.
TAIL_RECORDS = 2
TAIL_MEMORY_KIB = 8 * 1024


@dataclass(frozen=True)
class Node:
    """A broker."""

    number: int
    server: str


@dataclass(frozen=True)
class Nodes:
    """The brokers of a cluster, and the one that acts as its controller."""

    cluster_id: str
    brokers: list[Node]
    controller: int | None


@dataclass(frozen=True)
class Partition:
    """Leadership and replication of a partition."""

    number: int
    has_leader: bool
    replicas: int
    in_sync: int


class Cluster(TopicAdmin):
    """Queries brokers, partitions, configuration and offsets.

    Every method raises BrokerError if the broker rejects us, BrokerUnavailable if it
    does not respond.
    """

    def nodes(self) -> Nodes:
        """Describe the brokers."""
        found = self._result(self._admin.describe_cluster(request_timeout=ANSWER_S))
        brokers = [Node(node.id, f"{node.host}:{node.port}") for node in found.nodes]
        controller = found.controller.id if found.controller else None
        return Nodes(found.cluster_id or "unknown", brokers, controller)

    def partitions(self) -> list[Partition]:
        """Describe the partitions of the topic."""
        name = self._settings.topic
        futures = self._admin.describe_topics(
            TopicCollection([name]), request_timeout=ANSWER_S
        )
        return [
            Partition(p.id, bool(p.leader), len(p.replicas), len(p.isr))
            for p in self._result(futures[name]).partitions
        ]

    def topic_config(self) -> dict[str, str]:
        """Return the topic's configuration as far as the broker reports it."""
        return self._config_of(ConfigResource.Type.TOPIC, self._settings.topic)

    def broker_config(self, broker: int) -> dict[str, str]:
        """Return a broker's configuration as far as it reports it."""
        return self._config_of(ConfigResource.Type.BROKER, str(broker))

    def offset_ranges(self, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Return the oldest and the end offset of each partition (its watermarks)."""
        from confluent_kafka import TopicPartition

        found = {}
        deadline_s = time.monotonic() + NEW_TOPIC_S
        with closing(self._consumer("semloop-doctor")) as consumer:
            for partition in partitions:
                target = TopicPartition(self._settings.topic, partition)
                found[partition] = self._offset_range(consumer, target, deadline_s)
        return found

    def _offset_range(
        self, consumer: "Consumer", target: "TopicPartition", deadline_s: float
    ) -> tuple[int, int]:
        while True:
            try:
                low, high = consumer.get_watermark_offsets(target, ANSWER_S)
            except KafkaException as error:
                code = error.args[0].code()
                if code not in NOT_YET_KNOWN or time.monotonic() > deadline_s:
                    raise self._translated(error.args[0]) from None
                time.sleep(POLL_S)
            else:
                return int(low), int(high)

    def committed(self, group: str, partitions: Iterable[int]) -> dict[int, int | None]:
        """Return a group's committed offsets by partition; None where not committed.

        The consumer does not join the group.
        """
        from confluent_kafka import TopicPartition

        # NOTE: not the admin client's list_consumer_group_offsets, which has crashed
        # the process on a broker without any group.
        targets = [TopicPartition(self._settings.topic, p) for p in partitions]
        with closing(self._consumer(group)) as consumer:
            try:
                found = consumer.committed(targets, ANSWER_S)
            except KafkaException as error:
                raise self._translated(error.args[0]) from None
        return {at.partition: at.offset if at.offset >= 0 else None for at in found}

    def newest_ms(self, ranges: Mapping[int, tuple[int, int]]) -> int | None:
        """Return the latest Kafka timestamp of the last records; None without records.

        Args:
            ranges: partition -> oldest offset and end.
        """
        from confluent_kafka import TopicPartition

        name = self._settings.topic
        pending = {p for p, (low, high) in ranges.items() if high > low}
        starts = {p: max(ranges[p][0], ranges[p][1] - TAIL_RECORDS) for p in pending}
        newest: int | None = None
        deadline_s = time.monotonic() + COUNT_S
        with closing(self._consumer("semloop-doctor")) as consumer:
            consumer.assign([TopicPartition(name, p, o) for p, o in starts.items()])
            while pending and time.monotonic() < deadline_s:
                for message in consumer.consume(1_000, 0.1):
                    error = message.error()
                    if error is None:
                        newest = max(newest or 0, message.timestamp()[1])
                    elif error.code() == KafkaError._PARTITION_EOF:
                        pending.discard(message.partition())
        return newest

    def _config_of(self, kind: Any, name: str) -> dict[str, str]:
        resource = ConfigResource(kind, name)
        futures = self._admin.describe_configs([resource], request_timeout=ANSWER_S)
        entries = self._result(futures[resource])
        return {k: e.value for k, e in entries.items() if e.value is not None}

    def _result(self, future: Any) -> Any:
        try:
            return self._answer(future)
        except KafkaException as error:
            raise self._translated(error.args[0]) from None

    def _consumer(self, group: str) -> "Consumer":
        from confluent_kafka import Consumer

        return Consumer(
            client_config(self._settings)
            | {
                "group.id": group,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": TAIL_MEMORY_KIB,
                "error_cb": self._connection_errors,
            }
        )
