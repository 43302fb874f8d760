"""The checks of the topic."""

import pytest
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from semloop.command.doctor import State
from semloop.command.doctor.cluster import Partition
from semloop.command.doctor.topic import _replication
from semloop.kafka.topic import TIME_CONFIG, Topic
from semloop.settings import Settings
from tests.doctor.run_checks import (
    BASE_CHECKS,
    findings_of,
    only_problem,
    problems,
)
from tests.flows.flow_runner import kafka_admin
from tests.support.services import SERVICES, wait_for


def create(settings: Settings, config: dict[str, str], partitions: int = 4) -> None:
    """Create a topic that accepts records of any clock, unless `config` says less."""
    config = TIME_CONFIG | config
    new = NewTopic(settings.topic, num_partitions=partitions, config=config)
    admin = kafka_admin(settings)
    admin.create_topics([new])[settings.topic].result()
    # Brokers show a new topic a moment after they acknowledged it.
    wait_for("the topic", lambda: settings.topic in admin.list_topics().topics)


def test_topic_check_fails_for_a_missing_topic_without_creating_it(
    settings: Settings,
) -> None:
    finding = only_problem(findings_of(settings, "broker", "topic"))
    assert (finding.state, "There is no topic" in finding.found) == (State.FAIL, True)
    admin = kafka_admin(settings)
    assert settings.topic not in admin.list_topics(timeout=60).topics


def test_topic_check_accepts_a_topic_created_by_semloop(
    settings: Settings, topic: Topic
) -> None:
    found = findings_of(settings, *BASE_CHECKS[:2])
    assert all(f.state in (State.OK, State.SKIP) for f in found)
    shown = " ".join(f.found for f in found)
    assert "has 4 partitions" in shown
    assert "max.message.bytes is 4,194,304" in shown
    if SERVICES:
        assert problems(found) == []
        assert "cleanup.policy is delete" in shown
        assert "events are kept for 7 d, any size" in shown
    else:
        assert "does not report cleanup.policy" in only_problem(found).found


def test_topic_check_warns_about_fewer_partitions_than_configured(
    settings: Settings,
) -> None:
    create(settings, {"max.message.bytes": "4194304"}, partitions=2)
    first, *_ = findings_of(settings, "broker", "topic")
    assert (first.state, first.found) == (
        State.WARN, f"'{settings.topic}' has 2 partitions, but SEMLOOP_PARTITIONS is 4",
    )  # fmt: skip
    assert "--partitions 4" in first.todo


@pytest.mark.real_broker
@pytest.mark.parametrize(
    ("config", "state", "found", "todo"),
    [
        ({"cleanup.policy": "compact"}, State.FAIL, "only the newest event per session is kept", "cleanup.policy=delete"),
        ({"cleanup.policy": "compact,delete"}, State.FAIL, "only the newest event per session is kept", "cleanup.policy=delete"),
        ({"max.message.bytes": "1048588"}, State.WARN, "max.message.bytes is 1,048,588", "max.message.bytes=4194304"),
        ({"message.timestamp.after.max.ms": "3600000"}, State.WARN, "dated over 1 h ahead of the broker's clock are refused", "message.timestamp.after.max.ms=9223372036854775807"),
        ({"retention.ms": "3600000"}, State.WARN, "kept for 1 h, any size", "retention.ms=604800000"),
        ({"min.insync.replicas": "2"}, State.FAIL, "fewer are in sync for partition 0, 1, 2, 3", "these partitions reject writes"),
    ],
    ids=["compact", "compact and delete", "small messages", "only exact clocks", "short retention", "too few replicas"],
)  # fmt: skip
def test_topic_check_reports_configuration_that_loses_events(
    settings: Settings, config: dict[str, str], state: State, found: str, todo: str
) -> None:
    create(settings, {"max.message.bytes": "4194304"} | config)
    finding = only_problem(findings_of(settings, "broker", "topic"))
    assert finding.state is state
    assert found in finding.found
    assert todo in finding.todo


@pytest.mark.parametrize(
    ("partition", "brokers", "state", "found"),
    [
        (Partition(0, True, 3, 3), 3, State.OK, "3 replicas"),
        (Partition(0, True, 1, 1), 1, State.OK, "1 replica per partition"),
        (Partition(0, True, 1, 1), 3, State.WARN, "with 3 brokers"),
        (Partition(0, True, 3, 2), 3, State.WARN, "not all replicas are in sync for partition 0"),
        (Partition(0, True, 3, 1), 3, State.FAIL, "fewer are in sync for partition 0"),
        (Partition(0, False, 3, 3), 3, State.FAIL, "no leader for partition 0"),
    ],
)  # fmt: skip
def test_topic_check_judges_leaders_and_replicas(
    partition: Partition, brokers: int, state: State, found: str
) -> None:
    (finding,) = _replication([partition], brokers, {"min.insync.replicas": "2" if brokers > 1 < partition.replicas else "1"})  # fmt: skip
    assert finding.state is state
    assert found in finding.found
    assert bool(finding.todo) == (state is not State.OK)
