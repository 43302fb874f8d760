"""The checks of brokers, topics and offsets."""

import struct
import time
from contextlib import closing

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from semloop.command.doctor import State, versions
from semloop.command.doctor.cluster import Cluster, Partition
from semloop.command.doctor.topic import _replication
from semloop.command.doctor.versions import BrokerVersion, parsed
from semloop.kafka.clients import address
from semloop.kafka.topic import Topic
from semloop.settings import Settings
from tests.doctor.run_checks import (
    BASE_CHECKS,
    Read,
    Send,
    all_findings,
    findings_of,
    only_problem,
    problems,
)
from tests.flows.flow_runner import kafka_admin
from tests.flows.topics import trim
from tests.kafka.secure_broker import Secure, settings_for, user
from tests.support.services import SERVICES, free_port, wait_for

DAY_MS = 24 * 3_600_000
RETENTION = {"retention.ms": str(7 * DAY_MS)}


def create(settings: Settings, config: dict[str, str], partitions: int = 4) -> None:
    new = NewTopic(settings.topic, num_partitions=partitions, config=config)
    admin = kafka_admin(settings)
    admin.create_topics([new])[settings.topic].result()
    # Brokers show a new topic a moment after they acknowledged it.
    wait_for("the topic", lambda: settings.topic in admin.list_topics().topics)


def test_broker_check_shows_cluster_and_version(settings: Settings) -> None:
    found = findings_of(settings, "broker")
    assert problems(found) == []
    shown = " ".join(f.found for f in found)
    assert f"{address(settings)} answers in " in shown
    assert "1 broker: " in shown
    assert "controller: broker " in shown
    if SERVICES:
        assert "Kafka 4." in found[-1].found
        assert "metadata.version up to" in found[-1].found
    else:
        assert (
            found[-1].found
            == "Kafka version not reported by the broker (it supports 36 APIs)"
        )


def test_broker_check_fails_for_a_closed_port_and_later_checks_are_skipped(
    settings: Settings,
) -> None:
    nowhere = settings.replace(kafka=f"127.0.0.1:{free_port()}")
    finding = only_problem(findings_of(nowhere, "broker"))
    assert finding.state is State.FAIL
    assert "(nothing is listening)" in finding.found
    assert "`semloop up`" in finding.todo
    for name in ("topic", "resume point", "lag"):
        skipped = only_problem(findings_of(nowhere, "broker", name))
        assert (skipped.state, skipped.found) == (State.SKIP, "No broker is available.")


@pytest.mark.real_broker
@pytest.mark.parametrize(
    ("listener", "made"),
    [
        ("login", {"kafka_ca": "ca.pem"} | user("bob")),
        ("mutual", {"kafka_ca": "ca.pem", "kafka_certificate": "client.crt", "kafka_key": "client.key"}),
    ],
)  # fmt: skip
def test_broker_check_shows_the_version_over_tls(
    secure: Secure, listener: str, made: dict[str, str]
) -> None:
    settings = settings_for(secure, listener, made)
    found = findings_of(settings, "broker")
    assert problems(found) == []
    assert found[-1].found.startswith("Kafka 4.")


@pytest.mark.real_broker
def test_broker_check_reports_a_rejected_login(
    secure: Secure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semloop.kafka.topic.REFUSAL_GRACE_S", 0.1)
    wrong = user("bob") | {"kafka_password": "a wrong one to be kept secret"}
    settings = settings_for(secure, "login", {"kafka_ca": "ca.pem"} | wrong)
    finding = only_problem(findings_of(settings, "broker"))
    assert "rejects the user 'bob': wrong user or password" in finding.found
    assert "kept secret" not in str(finding)


def a_response(level: int, name: bytes = b"metadata.version", error: int = 0) -> bytes:
    """Return an ApiVersions v3 response with one API and one supported feature."""
    feature = b"\x02" + bytes([len(name) + 1]) + name + struct.pack(">hhB", 7, level, 0)
    tags = b"\x01\x00" + bytes([len(feature)]) + feature
    request = struct.pack(">hhhB", 18, 0, 4, 0)
    return (
        struct.pack(">ih", 1, error) + b"\x02" + request + struct.pack(">i", 0) + tags
    )


@pytest.mark.parametrize(
    ("level", "release"),
    [(7, "3.3"), (14, "3.6"), (21, "3.9"), (25, "4.0"), (30, "4.3"), (99, "4.3 or newer"), (3, None)],
)  # fmt: skip
def test_the_metadata_version_identifies_the_release(
    level: int, release: str | None
) -> None:
    version = parsed(a_response(level))
    assert version == BrokerVersion(1, {"metadata.version": level})
    assert version.release == release


def test_an_invalid_api_versions_response_is_rejected() -> None:
    whole = a_response(30)
    assert parsed(a_response(30, error=35)) is None
    assert parsed(a_response(30, b"another.version")) == BrokerVersion(1, {"another.version": 30})  # fmt: skip
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="truncated"):
            parsed(whole[:length])
    assert (
        versions.broker_version("127.0.0.1:1", {"security.protocol": "plaintext"})
        is None
    )


def test_topic_check_fails_for_a_missing_topic_without_creating_it(
    settings: Settings,
) -> None:
    finding = only_problem(findings_of(settings, "broker", "topic"))
    assert (finding.state, "There is no topic" in finding.found) == (State.FAIL, True)
    admin = kafka_admin(settings)
    assert settings.topic not in admin.list_topics(timeout=5).topics


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
        ({"retention.ms": "3600000"}, State.WARN, "kept for 1 h, any size", "retention.ms=604800000"),
        ({"min.insync.replicas": "2"}, State.FAIL, "fewer are in sync for partition 0, 1, 2, 3", "these partitions reject writes"),
    ],
    ids=["compact", "compact and delete", "small messages", "short retention", "too few replicas"],
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


def test_resume_and_lag_checks_accept_a_lake_that_is_current(
    settings: Settings, send: Send, read: Read
) -> None:
    send(3)
    read(2)
    *_, (resume,), (lake, group) = all_findings(
        settings, *BASE_CHECKS, "resume point", "lag"
    )
    assert resume.found == "4 partitions, no unread record was removed"
    assert lake.found == "everything is in the lake"
    # The group has no offsets, as after a restore of the broker.
    assert (group.state, "has no offsets: it is stale" in group.found) == (
        State.WARN,
        True,
    )


def test_resume_and_lag_checks_accept_a_new_lake(
    settings: Settings, send: Send, read: Read
) -> None:
    send(2)
    read()
    *_, resume, (lake, group) = all_findings(
        settings, *BASE_CHECKS, "resume point", "lag"
    )
    assert problems(resume) == []
    assert lake.found.startswith("2 records not in the lake yet (partition 0: 2)")
    assert group.found == "group 'semloop-archive' has no offsets yet"


@pytest.mark.real_broker
def test_resume_check_counts_unread_offsets_removed_by_retention(
    settings: Settings, send: Send, read: Read
) -> None:
    send(9)
    read(1)
    trim(settings, 6)
    finding = only_problem(findings_of(settings, *BASE_CHECKS, "resume point"))
    assert finding.state is State.FAIL
    assert finding.found.endswith(
        "removed unread offsets: partition 0: 4 from offset 2"
    )
    assert "semloop run archive --accept-gap" in finding.todo


@pytest.mark.real_broker
def test_resume_check_fails_if_the_broker_is_behind_the_lake(
    settings: Settings, send: Send, read: Read
) -> None:
    send(5)
    read(99)
    finding = only_problem(findings_of(settings, *BASE_CHECKS, "resume point"))
    assert (
        "the broker is behind the lake: partition 0 ends at 5, the lake has read 99"
        in finding.found
    )


@pytest.mark.parametrize(
    ("days", "age", "state"),
    [(5.5, "5 d 12 h", State.OK), (5.75, "5 d 18 h", State.WARN)],
)
def test_resume_check_warns_about_unread_records_near_the_end_of_retention(
    settings: Settings, send: Send, read: Read, days: float, age: str, state: State
) -> None:
    read()
    send(1, int(time.time() * 1000 - days * DAY_MS))
    *_, (finding,), (lake, _) = all_findings(
        settings, *BASE_CHECKS, "resume point", "lag", **RETENTION
    )
    assert finding.state is state
    assert f"the oldest unread record is {age} old (partition 0)" in finding.found
    assert "retention is 7 d" in finding.found
    assert (lake.state, f"the oldest {age} old" in lake.found) == (State.WARN, True)


def test_resume_check_accepts_unlimited_retention(
    settings: Settings, send: Send, read: Read
) -> None:
    read()
    send(1, 1_000_000)
    endless = {"retention.ms": "-1"}
    assert (
        problems(findings_of(settings, *BASE_CHECKS, "resume point", **endless)) == []
    )


def test_resume_check_warns_about_a_recreated_topic(
    settings: Settings, send: Send, read: Read
) -> None:
    send(1)
    read(7, topic_id="the old id")
    first, second = findings_of(settings, *BASE_CHECKS, "resume point")
    assert (first.state, second.state) == (State.WARN, State.OK)
    assert "was recreated" in first.found
    assert "the lake read the old id" in first.found


def test_resume_check_fails_for_another_cluster_with_the_flag_that_accepts_it(
    settings: Settings, read: Read
) -> None:
    read(7, cluster_id="elsewhere")
    finding = only_problem(findings_of(settings, *BASE_CHECKS, "resume point"))
    assert finding.state is State.FAIL
    assert "of cluster 'elsewhere'" in finding.found
    assert "--new-log" in finding.todo


def test_resume_check_warns_about_added_partitions(
    settings: Settings, read: Read
) -> None:
    read(partitions=2)
    finding = only_problem(findings_of(settings, *BASE_CHECKS, "resume point"))
    assert finding.found == "2 of 4 partitions were added since `archive` last ran"


def test_lag_check_warns_if_the_group_differs_from_the_lake(
    settings: Settings, send: Send, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semloop.command.doctor.lag.NEAR_RECORDS", 3)
    send(9)
    read(8)
    with closing(Cluster(settings)._consumer("semloop-archive")) as consumer:
        for offset, state in ((8, State.OK), (2, State.WARN)):
            consumer.commit(
                offsets=[TopicPartition(settings.topic, 0, offset)], asynchronous=False
            )
            _, group = findings_of(settings, *BASE_CHECKS, "lag")
            assert group.state is state
            assert f"is {9 - offset} offset" in group.found
    assert "differs from the lake by 7: it is stale" in group.found
    assert "`semloop status`" in group.todo
