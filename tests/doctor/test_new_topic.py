"""Brokers and clients do not know all partitions of a topic that was just created."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from semloop.command.doctor import cluster
from semloop.command.doctor.cluster import Cluster
from semloop.errors import SemLoopError
from semloop.settings import load


class LateConsumer:
    """A client of Kafka that answers after a number of refusals."""

    def __init__(self, code: int, refusals: int) -> None:
        self._error = KafkaError(code)
        self.left = refusals

    def get_watermark_offsets(self, *_: object) -> tuple[int, int]:
        self.left -= 1
        if self.left >= 0:
            raise KafkaException(self._error)
        return 3, 7

    def close(self) -> None:
        """Nothing is open."""


class LateCluster(Cluster):
    def __init__(self, consumer: LateConsumer) -> None:
        super().__init__(load({}, kafka="127.0.0.1:1"))
        self._late = consumer

    def _consumer(self, group: str) -> Any:
        return self._late


@pytest.mark.parametrize(
    "code", [KafkaError._UNKNOWN_PARTITION, KafkaError.LEADER_NOT_AVAILABLE]
)
def test_doctor_asks_again_for_a_partition_that_is_not_known_yet(code: int) -> None:
    found = LateCluster(LateConsumer(code, 3)).offset_ranges([0, 1])
    assert found == {0: (3, 7), 1: (3, 7)}


@pytest.mark.parametrize(
    ("code", "seconds", "asked"),
    [
        (KafkaError._UNKNOWN_PARTITION, -1.0, 1),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, 60.0, 1),
    ],
    ids=["too late", "another error"],
)
def test_doctor_asks_no_longer_than_it_helps(
    monkeypatch: pytest.MonkeyPatch, code: int, seconds: float, asked: int
) -> None:
    monkeypatch.setattr(cluster, "NEW_TOPIC_S", seconds)
    consumer = LateConsumer(code, 100)
    with pytest.raises(SemLoopError):
        LateCluster(consumer).offset_ranges([0])
    assert consumer.left == 100 - asked
