"""What a topic is at the moment: its cluster, its id, its partitions.

Asked through an admin client (1.7 ms): whatever is asked through a consumer waits half
a second behind its own long poll.
"""

import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from semloop.errors import BrokerUnavailable, ConfigError, TopicChanged, TopicMissing
from semloop.kafka.clients import client_config, listens
from semloop.kafka.probe import mismatch
from semloop.kafka.refusals import RIGHTS, Heard, public, refusal, unusable
from semloop.settings import Settings

ANSWER_S = 5.0
# While an answer is waited for, what the connection says is listened to so often.
LISTEN_S = 0.05
# After a refusal another broker of the cluster gets so long to answer.
OTHERS_S = 1.0
# A broker that answers nothing at all for so long may speak another protocol.
MUTE_S = 1.0
# A new topic is known to all brokers after so long at the latest.
KNOWN_S = 10.0
TOPIC_BYTES_MAX = 4 * 2**20
R = TypeVar("R")
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
        """Nothing is asked yet.

        Raises:
            ConfigError: settings that contradict each other, or unusable files.
        """
        self._settings = settings
        config = client_config(settings)
        self._config = public(config)
        self._heard = Heard(self._config)
        try:
            self._admin = AdminClient(
                {**config, "socket.timeout.ms": 5000, "error_cb": self._heard}  # type: ignore[dict-item]
            )
        except KafkaException as error:
            raise unusable(error.args[0], config) from None
        self._cluster_id: str | None = None

    def describe(self) -> Topic:
        """The topic as it is now.

        Raises:
            BrokerError: it does not exist or may not be seen, or the broker refuses
                us.
            BrokerUnavailable: no answer.
        """
        name = self._settings.topic
        try:
            if self._cluster_id is None:
                # A closed port is known at once; librdkafka would go on trying.
                if not listens(self._config["bootstrap.servers"]):
                    reason = "nothing listens"
                    raise self._unavailable(reason)
                cluster = self._answer(
                    self._admin.describe_cluster(request_timeout=ANSWER_S)
                )
                self._cluster_id = cluster.cluster_id or "unknown"
            futures = self._admin.describe_topics(
                TopicCollection([name]), request_timeout=ANSWER_S
            )
            found = self._answer(futures[name])
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
            num_partitions=self._settings.archive.partitions,
            config={"max.message.bytes": str(TOPIC_BYTES_MAX)},
        )
        try:
            self._answer(self._admin.create_topics([topic])[self._settings.topic])
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise self._translated(error.args[0]) from None
        return self._described_soon()

    def _answer(self, future: "Future[R]") -> R:
        """Wait for an answer, or for the reason why there will be none.

        Raises:
            BrokerError: the broker refuses us, or speaks another protocol.
            KafkaException: any other answer, or none in time.
        """
        asked_s = time.monotonic()
        refused_s: float | None = None
        looked = False
        self._admin.poll(0)
        self._heard.forget()
        while True:
            try:
                return future.result(LISTEN_S)
            except TimeoutError:
                self._admin.poll(0)
            except KafkaException:
                self._heard.raise_refusal()
                raise
            now_s = time.monotonic()
            if self._heard.refused:
                refused_s = refused_s or now_s
                if now_s - refused_s > OTHERS_S:
                    self._heard.raise_refusal()
            elif not looked and now_s - asked_s > MUTE_S:
                looked = True
                if error := mismatch(self._config):
                    raise error

    def _described_soon(self) -> Topic:
        """A new topic takes a moment to be known."""
        deadline_s = time.monotonic() + KNOWN_S
        while True:
            try:
                return self.describe()
            except TopicMissing:
                if time.monotonic() > deadline_s:
                    raise
            time.sleep(LISTEN_S)

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
        if error.code() in RIGHTS:
            return refusal(error, self._config)
        return self._unavailable(self._heard.said or error.name())

    def _unavailable(self, reason: str) -> BrokerUnavailable:
        servers = self._config["bootstrap.servers"]
        msg = f"No Kafka broker answers at {servers} ({reason})."
        todo = "Start one with `semloop up`, or set SEMLOOP_KAFKA to yours."
        return BrokerUnavailable(msg, todo)
