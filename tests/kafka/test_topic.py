"""Describing and creating a topic; some tests need a real broker."""

import contextlib
import gc
import time
import weakref

import pytest
from confluent_kafka import TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewPartitions,
)

from semloop.errors import BrokerUnavailable, TopicChanged, TopicMissing
from semloop.kafka.clients import address
from semloop.kafka.topic import Topic, TopicAdmin
from semloop.settings import Settings
from tests.support.prompt_producer import prompt_producer
from tests.support.services import free_port, wait_for


def test_ensure_creates_a_topic_once_with_the_configured_partitions(
    settings: Settings,
) -> None:
    created = TopicAdmin(settings).ensure()
    assert (created.name, created.partitions) == (settings.topic, 4)
    assert created.cluster_id
    assert created.topic_id
    more = settings.replace(partitions=8)
    assert TopicAdmin(more).ensure() == created
    TopicAdmin(settings).check_unchanged(created)


@pytest.mark.real_broker
def test_a_created_topic_accepts_records_of_four_mebibytes(
    settings: Settings, topic: Topic
) -> None:
    admin = AdminClient({"bootstrap.servers": address(settings)})
    resource = ConfigResource(ConfigResource.Type.TOPIC, settings.topic)
    config = admin.describe_configs([resource])[resource].result()
    assert config["max.message.bytes"].value == str(4 * 2**20)


@pytest.mark.real_broker
@pytest.mark.parametrize("ahead_s", [-7_200, 7_200, 36_000])
def test_a_created_topic_accepts_records_of_any_clock(
    settings: Settings, topic: Topic, ahead_s: int
) -> None:
    errors: list[object] = []
    producer = prompt_producer(settings)
    producer.produce(
        settings.topic,
        b"{}",
        timestamp=int((time.time() + ahead_s) * 1_000),
        on_delivery=lambda error, _: errors.append(error),
    )
    producer.flush(20)
    assert errors == [None]


def test_a_missing_topic_is_reported_with_what_to_do(settings: Settings) -> None:
    with pytest.raises(TopicMissing) as error:
        TopicAdmin(settings).describe()
    expected = f"There is no topic {settings.topic!r} on {settings.kafka}."
    assert error.value.what == expected
    assert "`semloop up`" in error.value.todo


def test_an_error_keeps_no_frame_of_its_callers(settings: Settings) -> None:
    class Client:
        """What a caller has, such as a producer: it must end with the caller."""

    def created() -> weakref.ref[Client]:
        client = Client()
        with TopicAdmin(settings) as admin, contextlib.suppress(TopicMissing):
            admin.describe()
        return weakref.ref(client)

    gc.disable()
    try:
        assert created()() is None
    finally:
        gc.enable()


def test_every_request_reports_an_unavailable_broker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semloop.kafka.topic.ANSWER_S", 0.5)
    nowhere = settings.replace(kafka=f"127.0.0.1:{free_port()}")
    admin = TopicAdmin(nowhere)
    for request in (
        admin.describe,
        admin.ensure,
        lambda: admin.check_unchanged(Topic("", "", "", 0)),
    ):
        with pytest.raises(BrokerUnavailable) as error:
            request()
        assert error.value.what.startswith(
            f"No Kafka broker answers at {nowhere.kafka}"
        )


@pytest.mark.real_broker
def test_a_recreated_topic_is_detected(settings: Settings, topic: Topic) -> None:
    admin = TopicAdmin(settings)
    admin.check_unchanged(topic)
    raw = AdminClient({"bootstrap.servers": address(settings)})
    raw.delete_topics([settings.topic])[settings.topic].result()
    wait_for("the deletion", lambda: missing(admin))
    recreated = admin.ensure()
    assert recreated.topic_id != topic.topic_id
    with pytest.raises(TopicChanged, match="was deleted and recreated"):
        admin.check_unchanged(topic)
    admin.check_unchanged(recreated)


def missing(admin: TopicAdmin) -> bool:
    try:
        admin.describe()
    except TopicMissing:
        return True
    return False


@pytest.mark.real_broker
def test_added_partitions_are_detected(settings: Settings, topic: Topic) -> None:
    admin = TopicAdmin(settings)
    raw = AdminClient({"bootstrap.servers": address(settings)})
    raw.create_partitions([NewPartitions(settings.topic, 6)])[settings.topic].result()

    def partitions() -> int:
        found = raw.describe_topics(TopicCollection([settings.topic]))
        return len(found[settings.topic].result().partitions)

    wait_for("the new partitions", lambda: partitions() == 6)
    with pytest.raises(TopicChanged, match="went from 4 to 6 partitions"):
        admin.check_unchanged(topic)
