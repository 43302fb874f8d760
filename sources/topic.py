"""What a topic is at the moment: its cluster, its id, its partitions.

Asked through an admin client (1.7 ms): whatever is asked through a consumer waits half
a second behind its own long poll.
"""

from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from semloop.broker import client_config, listens
from semloop.errors import BrokerError, BrokerUnavailable, ConfigError, TopicChanged
from semloop.settings import Settings

ANSWER_S = 5.0
TOPIC_BYTES_MAX = 4 * 2**20
NOT_THERE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID)


@dataclass(frozen=True)
class Topic:
    """A topic as the broker describes it."""

    cluster_id: str
    name: str
    topic_id: str
    partitions: int


class TopicAdmin:
    """Asks about one topic and makes it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._config = client_config(settings)
        self._admin = AdminClient({**self._config, "socket.timeout.ms": 5000})
        self._cluster_id: str | None = None

    def describe(self) -> Topic:
        """The topic as it is now.

        Raises:
            BrokerError: it does not exist, or may not be seen.
            BrokerUnavailable: no answer.
        """
        name = self._settings.topic
        try:
            if self._cluster_id is None:
                # A closed port is known at once; librdkafka would go on trying.
                if not listens(self._config["bootstrap.servers"]):
                    reason = "nothing listens"
                    raise self._unavailable(reason)
                metadata = self._admin.list_topics(timeout=ANSWER_S)
                self._cluster_id = metadata.cluster_id or "unknown"
            future = self._admin.describe_topics(
                TopicCollection([name]), request_timeout=ANSWER_S
            )[name]
            found = future.result()
        except KafkaException as error:
            raise self._translated(error.args[0]) from None
        topic_id = str(found.topic_id)
        return Topic(self._cluster_id, name, topic_id, len(found.partitions))

    def still(self, topic: Topic) -> None:
        """Make sure that it is still the same topic with the same partitions.

        Raises:
            TopicChanged: it is not.
            BrokerUnavailable: no answer; ask again later.
        """
        now = self.describe()
        if now.topic_id != topic.topic_id:
            msg = f"Topic {topic.name!r} was deleted and made again while it was read."
            raise TopicChanged(msg, "Start the flow again to read the new topic.")
        if now.partitions != topic.partitions:
            msg = (
                f"Topic {topic.name!r} went from {topic.partitions} to "
                f"{now.partitions} partitions."
            )
            raise TopicChanged(msg, "Start the flow again to read the new ones.")

    def ensure(self) -> Topic:
        """Make the topic if it is missing, and describe it."""
        try:
            return self.describe()
        except TopicMissing:
            pass
        topic = NewTopic(
            self._settings.topic,
            num_partitions=self._settings.partitions,
            config={"max.message.bytes": str(TOPIC_BYTES_MAX)},
        )
        try:
            self._admin.create_topics([topic])[self._settings.topic].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise self._translated(error.args[0]) from None
        return self._described_soon()

    def _described_soon(self) -> Topic:
        """A new topic takes a moment to be known."""
        import stamina  # noqa: PLC0415 - only here, and the producer SDK has no need

        for attempt in stamina.retry_context(on=TopicMissing, attempts=50, timeout=10):
            with attempt:
                return self.describe()
        raise AssertionError

    def _translated(self, error: Any) -> Exception:
        name, servers = self._settings.topic, self._config["bootstrap.servers"]
        if error.code() in NOT_THERE:
            msg = f"There is no topic {name!r} on {servers}."
            todo = (
                "`semloop up` and `semloop import` make it; so does your Kafka admin."
            )
            return TopicMissing(msg, todo)
        if error.code() == KafkaError.TOPIC_EXCEPTION:
            msg = f"{name!r} is no name for a topic."
            return ConfigError(
                msg, "Set SEMLOOP_TOPIC to letters, digits, '.', '_', '-'."
            )
        if error.code() in (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.CLUSTER_AUTHORIZATION_FAILED,
            KafkaError.SASL_AUTHENTICATION_FAILED,
            KafkaError._AUTHENTICATION,
        ):
            msg = f"The broker {servers} refuses: {error.name()}."
            return BrokerError(msg, "Check the user's rights on the topic.")
        return self._unavailable(error.name())

    def _unavailable(self, reason: str) -> BrokerUnavailable:
        servers = self._config["bootstrap.servers"]
        msg = f"No Kafka broker answers at {servers} ({reason})."
        todo = "Start one with `semloop up`, or set SEMLOOP_KAFKA to yours."
        return BrokerUnavailable(msg, todo)


class TopicMissing(BrokerError):
    """The topic does not exist."""
