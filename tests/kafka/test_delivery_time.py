"""How long our producers may hold a record; episodes rely on it."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from semloop.agent.agent import Agent
from semloop.agent.broker_search import CONFIG as AGENT
from semloop.kafka.clients import client_config, producer_config
from semloop.kafka.topic import TopicAdmin
from semloop.settings import Settings, load
from sinks.topic import PRODUCER_CONFIG as IMPORT
from tests.support.spools import leave


@pytest.mark.parametrize("own", [{}, AGENT, IMPORT], ids=["demo", "agent", "import"])
def test_no_producer_holds_a_record_longer_than_episodes_allow(
    own: Mapping[str, Any],
) -> None:
    settings = load({}, kafka="127.0.0.1:9")
    held_ms = {**producer_config(settings), **own}["message.timeout.ms"]
    assert 0 < held_ms < settings.episodes.delivery_max_s * 1_000


def test_a_spooled_event_gets_the_time_of_sending(
    settings: Settings, tmp_path: Path
) -> None:
    settings = settings.replace(partitions=1, spool=str(tmp_path / "spool"))
    TopicAdmin(settings).ensure()
    spooled_at = datetime.now(UTC) - timedelta(days=1)
    leave(settings, "hello", timestamp=spooled_at.isoformat())
    sending_s = time.time()
    agent = Agent("later", settings=settings)
    consumer = Consumer(client_config(settings) | {"group.id": "test"})
    consumer.assign([TopicPartition(settings.topic, 0, 0)])
    [message] = consumer.consume(1, 20.0)
    consumer.close()
    # Kafka's timestamps are in milliseconds.
    assert message.timestamp()[1] >= int(sending_s * 1_000)
    assert agent.flush(60)
