"""Describes and creates a topic: its cluster, id and partitions.

Uses an admin client (1.7 ms per request): a request through a consumer waits half a
second behind its long poll.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from semloop.errors import BrokerUnavailable, ConfigError, TopicChanged, TopicMissing
from semloop.kafka.clients import client_config, listens
from semloop.kafka.probe import mismatch
from semloop.kafka.refusals import (
    PERMISSIONS,
    ConnectionErrors,
    public,
    refusal,
    unusable,
)
from semloop.settings import Settings

ANSWER_S = 5.0
# Interval at which connection errors are polled while waiting for a response.
POLL_S = 0.05
# Time for another broker of the cluster to answer after a refusal.
REFUSAL_GRACE_S = 1.0
# A broker that is silent for this long is probed for another protocol.
PROBE_AFTER_S = 1.0
# Maximum time until all brokers know a new topic.
CREATE_TIMEOUT_S = 10.0
TOPIC_BYTES_MAX = 4 * 2**20
BYTES_CONFIG = {"max.message.bytes": str(TOPIC_BYTES_MAX)}
# By default, Kafka 4 refuses records that are dated an hour ahead of the broker: from a
# producer whose clock is ahead, or to a broker whose clock is behind. `archive` judges
# the time of an event; a record that it rejects is not lost.
AHEAD_MAX = "message.timestamp.after.max.ms"
TIME_CONFIG = {AHEAD_MAX: str(2**63 - 1)}
# Configurations of the topic of events, the first one that the broker accepts: Kafka
# before 3.6 has no such limit.
EVENTS_CONFIGS: Sequence[Mapping[str, str]] = (BYTES_CONFIG | TIME_CONFIG, BYTES_CONFIG)
R = TypeVar("R")
UNKNOWN_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID)


@dataclass(frozen=True)
class Topic:
    """A topic as the broker describes it."""

    cluster_id: str
    name: str
    topic_id: str
    partitions: int


class TopicAdmin:
    """Describes one topic and creates it; as a block, which ends its client.

    In a program that forks it must be a block: errors of a client make cycles with it.
    A child that collects these would wait for the threads of the client, which it does
    not have.
    """

    def __init__(self, settings: Settings) -> None:
        """Create the client; it sends no request yet.

        Raises:
            ConfigError: settings contradict each other, or a file is not valid.
        """
        self._settings = settings
        config = client_config(settings)
        self._config = public(config)
        self._connection_errors = ConnectionErrors(self._config)
        overrides = {"socket.timeout.ms": 5000, "error_cb": self._connection_errors}
        try:
            self._admin = AdminClient(config | overrides)
        except KafkaException as error:
            raise unusable(error.args[0], config) from None
        self._cluster_id: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        del self._admin

    def describe(self) -> Topic:
        """Return the current state of the topic.

        Raises:
            BrokerError: it does not exist, permission is missing, or the broker refuses
                the connection.
            BrokerUnavailable: no response.
        """
        name = self._settings.topic
        try:
            if self._cluster_id is None:
                # Detect a closed port immediately; librdkafka would keep retrying.
                if not listens(self._config["bootstrap.servers"]):
                    reason = "nothing is listening"
                    raise self._unavailable(reason)
                cluster = self._answer(
                    self._admin.describe_cluster(request_timeout=ANSWER_S)
                )
                self._cluster_id = cluster.cluster_id or "unknown"
            found = self._answer(
                self._admin.describe_topics(
                    TopicCollection([name]), request_timeout=ANSWER_S
                )[name]
            )
        except KafkaException as error:
            raise self._translated(error.args[0]) from None
        topic_id = str(found.topic_id)
        return Topic(self._cluster_id, name, topic_id, len(found.partitions))

    def check_unchanged(self, topic: Topic) -> None:
        """Check that id and number of partitions are the same as before.

        Raises:
            TopicChanged: they are not.
            BrokerUnavailable: no response; retry later.
        """
        now = self.describe()
        if now.topic_id != topic.topic_id:
            msg = f"Topic {topic.name!r} was deleted and recreated while it was read."
            raise TopicChanged(msg, "Restart the flow to read the new topic.")
        if now.partitions != topic.partitions:
            msg = (
                f"Topic {topic.name!r} went from {topic.partitions} to "
                f"{now.partitions} partitions."
            )
            raise TopicChanged(msg, "Restart the flow to read the new partitions.")

    def ensure(self, configs: Sequence[Mapping[str, str]] = EVENTS_CONFIGS) -> Topic:
        """Create the topic if it does not exist, and describe it.

        Args:
            configs: of a new topic: the first one whose names the broker knows.
        """
        try:
            return self.describe()
        except TopicMissing:
            pass
        error = None
        for config in configs:
            error = self._create(config)
            if error is None or error.code() != KafkaError.INVALID_CONFIG:
                break
        if error is not None and error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise self._translated(error) from None
        return self._describe_new()

    def _create(self, config: Mapping[str, str]) -> KafkaError | None:
        """Create the topic; return why that failed."""
        name, partitions = self._settings.topic, self._settings.archive.partitions
        topic = NewTopic(name, num_partitions=partitions, config=dict(config))
        try:
            self._answer(self._admin.create_topics([topic])[name])
        except KafkaException as error:
            found: KafkaError = error.args[0]
            return found
        return None

    def _answer(self, future: "Future[R]") -> R:
        """Wait for a response, or for the reason why there will be none.

        Raises:
            BrokerError: the broker refuses the connection, or uses another protocol.
            KafkaException: any other error, or a timeout.
        """
        started_s = time.monotonic()
        refused_s: float | None = None
        probed = False
        self._admin.poll(0)
        self._connection_errors.clear()
        try:
            while True:
                try:
                    return future.result(POLL_S)
                except TimeoutError:
                    self._admin.poll(0)
                except KafkaException:
                    self._connection_errors.raise_refusal()
                    raise
                now_s = time.monotonic()
                if self._connection_errors.refused:
                    refused_s = refused_s or now_s
                    if now_s - refused_s > REFUSAL_GRACE_S:
                        self._connection_errors.raise_refusal()
                elif not probed and now_s - started_s > PROBE_AFTER_S:
                    probed = True
                    if error := mismatch(self._config):
                        raise error
        finally:
            # The future has the error, which has this frame: a cycle would keep the
            # frames of all callers, and so their clients, until it is collected.
            del future

    def _describe_new(self) -> Topic:
        """Wait until the brokers know the new topic."""
        deadline_s = time.monotonic() + CREATE_TIMEOUT_S
        while True:
            try:
                return self.describe()
            except TopicMissing:
                if time.monotonic() > deadline_s:
                    raise
            time.sleep(POLL_S)

    def _translated(self, error: Any) -> Exception:
        name, servers = self._settings.topic, self._config["bootstrap.servers"]
        if error.code() in UNKNOWN_TOPIC:
            msg = f"There is no topic {name!r} on {servers}."
            todo = (
                "Create it with `semloop up` or `semloop import`, or set SEMLOOP_TOPIC."
            )
            return TopicMissing(msg, todo)
        if error.code() == KafkaError.TOPIC_EXCEPTION:
            msg = f"{name!r} is not a valid topic name."
            todo = "Set SEMLOOP_TOPIC to a name of letters, digits, '.', '_' and '-'."
            return ConfigError(msg, todo)
        if error.code() in PERMISSIONS:
            return refusal(error, self._config)
        return self._unavailable(self._connection_errors.last_message or error.name())

    def _unavailable(self, reason: str) -> BrokerUnavailable:
        servers = self._config["bootstrap.servers"]
        msg = f"No Kafka broker answers at {servers} ({reason})."
        todo = "Start one with `semloop up`, or set SEMLOOP_KAFKA to your broker."
        return BrokerUnavailable(msg, todo)
