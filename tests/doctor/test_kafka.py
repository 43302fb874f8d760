"""What doctor finds about brokers, their topic and offsets."""

import struct
import time
from contextlib import closing

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from semloop.command.doctor import State, versions
from semloop.command.doctor.cluster import Cluster, Partition
from semloop.command.doctor.topic import _replicas
from semloop.command.doctor.versions import Spoken, understood
from semloop.kafka.clients import address
from semloop.kafka.topic import Topic
from semloop.settings import Settings
from tests.doctor.conftest import Read, Send
from tests.doctor.examined import BASIS, bad, each, examined, only
from tests.flows.flow_runner import kafka_admin
from tests.kafka.secure_broker import Secure, settings_for, user
from tests.services import SERVICES, free_port

DAY_MS = 24 * 3_600_000
RETENTION = {"retention.ms": str(7 * DAY_MS)}


def make(settings: Settings, config: dict[str, str], partitions: int = 4) -> None:
    new = NewTopic(settings.topic, num_partitions=partitions, config=config)
    admin = kafka_admin(settings)
    admin.create_topics([new])[settings.topic].result()


def test_a_broker_is_told_with_its_cluster_and_version(settings: Settings) -> None:
    found = examined(settings, "broker")
    assert bad(found) == []
    told = " ".join(f.found for f in found)
    assert f"{address(settings)} answers in " in told
    assert "1 broker: " in told
    assert "controller: broker " in told
    if SERVICES:
        assert "Kafka 4." in found[-1].found
        assert "metadata.version up to" in found[-1].found
    else:
        assert found[-1].found == "version not told, it knows 36 kinds of requests"


def test_a_port_where_nobody_listens_fails_and_the_rest_is_skipped(
    settings: Settings,
) -> None:
    nowhere = settings.replace(kafka=f"127.0.0.1:{free_port()}")
    finding = only(examined(nowhere, "broker"))
    assert finding.state is State.FAIL
    assert "(nothing listens)" in finding.found
    assert "`semloop up`" in finding.todo
    for name in ("topic", "resume point", "lag"):
        skipped = only(examined(nowhere, "broker", name))
        assert (skipped.state, skipped.found) == (State.SKIP, "No broker can be asked.")


@pytest.mark.real_broker
@pytest.mark.parametrize(
    ("listener", "made"),
    [
        ("login", {"kafka_ca": "ca.pem"} | user("bob")),
        ("mutual", {"kafka_ca": "ca.pem", "kafka_certificate": "client.crt", "kafka_key": "client.key"}),
    ],
)  # fmt: skip
def test_the_version_is_told_over_tls_too(
    secure: Secure, listener: str, made: dict[str, str]
) -> None:
    settings = settings_for(secure, listener, made)
    found = examined(settings, "broker")
    assert bad(found) == []
    assert found[-1].found.startswith("Kafka 4.")


@pytest.mark.real_broker
def test_a_refused_login_is_told_in_the_words_of_all_commands(
    secure: Secure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semloop.kafka.topic.OTHERS_S", 0.1)
    wrong = user("bob") | {"kafka_password": "a wrong one that nobody may see"}
    settings = settings_for(secure, "login", {"kafka_ca": "ca.pem"} | wrong)
    finding = only(examined(settings, "broker"))
    assert "refuses the user 'bob': wrong user or password" in finding.found
    assert "nobody may see" not in str(finding)


def an_answer(level: int, name: bytes = b"metadata.version", error: int = 0) -> bytes:
    """ApiVersions v3 with one kind of request and one supported feature."""
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
def test_a_level_of_metadata_names_the_release(level: int, release: str | None) -> None:
    said = understood(an_answer(level))
    assert said == Spoken(1, {"metadata.version": level})
    assert said.release == release


def test_what_is_no_such_answer_is_not_understood() -> None:
    whole = an_answer(30)
    assert understood(an_answer(30, error=35)) is None
    assert understood(an_answer(30, b"another.version")) == Spoken(1, {"another.version": 30})  # fmt: skip
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="cut off"):
            understood(whole[:length])
    assert versions.spoken("127.0.0.1:1", {"security.protocol": "plaintext"}) is None


def test_a_missing_topic_fails_and_is_not_made(settings: Settings) -> None:
    finding = only(examined(settings, "broker", "topic"))
    assert (finding.state, "There is no topic" in finding.found) == (State.FAIL, True)
    admin = kafka_admin(settings)
    assert settings.topic not in admin.list_topics(timeout=5).topics


def test_a_topic_as_semloop_makes_it_is_fine(settings: Settings, topic: Topic) -> None:
    found = examined(settings, *BASIS[:2])
    assert all(f.state in (State.OK, State.SKIP) for f in found)
    told = " ".join(f.found for f in found)
    assert "has 4 partitions" in told
    assert "max.message.bytes is 4,194,304" in told
    if SERVICES:
        assert bad(found) == []
        assert "cleanup.policy is delete" in told
        assert "events are kept for 7 d, of any size" in told
    else:
        assert "does not tell cleanup.policy" in only(found).found


def test_fewer_partitions_than_meant_are_told(settings: Settings) -> None:
    make(settings, {"max.message.bytes": "4194304"}, partitions=2)
    first, *_ = examined(settings, "broker", "topic")
    assert (first.state, first.found) == (
        State.WARN, f"'{settings.topic}' has 2 partitions, the settings mean 4",
    )  # fmt: skip
    assert "--partitions 4" in first.todo


@pytest.mark.real_broker
@pytest.mark.parametrize(
    ("config", "state", "found", "todo"),
    [
        ({"cleanup.policy": "compact"}, State.FAIL, "only the newest event is kept", "cleanup.policy=delete"),
        ({"cleanup.policy": "compact,delete"}, State.FAIL, "only the newest event is kept", "cleanup.policy=delete"),
        ({"max.message.bytes": "1048588"}, State.WARN, "max.message.bytes is 1,048,588", "max.message.bytes=4194304"),
        ({"retention.ms": "3600000"}, State.WARN, "kept for 1 h, of any size", "retention.ms=604800000"),
        ({"min.insync.replicas": "2"}, State.FAIL, "fewer in sync for partition 0, 1, 2, 3", "nothing can be produced"),
    ],
    ids=["compacted", "compacted too", "small", "short", "replicas"],
)  # fmt: skip
def test_a_topic_that_loses_events_is_told(
    settings: Settings, config: dict[str, str], state: State, found: str, todo: str
) -> None:
    make(settings, {"max.message.bytes": "4194304"} | config)
    finding = only(examined(settings, "broker", "topic"))
    assert finding.state is state
    assert found in finding.found
    assert todo in finding.todo


@pytest.mark.parametrize(
    ("partition", "brokers", "state", "found"),
    [
        (Partition(0, True, 3, 3), 3, State.OK, "3 replicas"),
        (Partition(0, True, 1, 1), 1, State.OK, "1 replica of each"),
        (Partition(0, True, 1, 1), 3, State.WARN, "on 3 brokers"),
        (Partition(0, True, 3, 2), 3, State.WARN, "not all are in sync for partition 0"),
        (Partition(0, True, 3, 1), 3, State.FAIL, "fewer in sync for partition 0"),
        (Partition(0, False, 3, 3), 3, State.FAIL, "no leader for partition 0"),
    ],
)  # fmt: skip
def test_replicas_are_judged(
    partition: Partition, brokers: int, state: State, found: str
) -> None:
    (finding,) = _replicas([partition], brokers, {"min.insync.replicas": "2" if brokers > 1 < partition.replicas else "1"})  # fmt: skip
    assert finding.state is state
    assert found in finding.found
    assert bool(finding.todo) == (state is not State.OK)


def test_what_is_read_up_to_the_end_is_fine(
    settings: Settings, send: Send, read: Read
) -> None:
    send(3)
    read(2)
    *_, (resume,), (lake, group) = each(settings, *BASIS, "resume point", "lag")
    assert resume.found == "4 partitions, nothing unread was removed"
    assert lake.found == "everything is in the lake"
    # The group was never told, as after a restore of the broker.
    assert (group.state, "has no offsets: it is stale" in group.found) == (
        State.WARN,
        True,
    )


def test_a_new_lake_has_lost_nothing(
    settings: Settings, send: Send, read: Read
) -> None:
    send(2)
    read()
    *_, resume, (lake, group) = each(settings, *BASIS, "resume point", "lag")
    assert bad(resume) == []
    assert lake.found.startswith("2 records not in the lake yet (partition 0: 2)")
    assert group.found == "group 'semloop-archive' has no offsets yet"


@pytest.mark.real_broker
def test_offsets_that_retention_took_are_counted(
    settings: Settings, send: Send, read: Read
) -> None:
    send(9)
    read(1)
    place = TopicPartition(settings.topic, 0, 6)
    admin = kafka_admin(settings)
    for done in admin.delete_records([place]).values():
        done.result()
    finding = only(examined(settings, *BASIS, "resume point"))
    assert finding.state is State.FAIL
    assert finding.found.endswith("are gone (retention): partition 0: 4 from 2 on")
    assert "semloop run archive --accept-gap" in finding.todo


@pytest.mark.real_broker
def test_a_broker_behind_the_lake_is_told(
    settings: Settings, send: Send, read: Read
) -> None:
    send(5)
    read(99)
    finding = only(examined(settings, *BASIS, "resume point"))
    assert (
        "the broker is behind the lake: partition 0 ends at 5, 99 was read"
        in finding.found
    )


@pytest.mark.parametrize(
    ("days", "age", "state"),
    [(5.5, "5 d 12 h", State.OK), (5.75, "5 d 18 h", State.WARN)],
)
def test_unread_records_near_the_end_of_retention_are_told(
    settings: Settings, send: Send, read: Read, days: float, age: str, state: State
) -> None:
    read()
    send(1, int(time.time() * 1000 - days * DAY_MS))
    *_, (finding,), (lake, _) = each(
        settings, *BASIS, "resume point", "lag", **RETENTION
    )
    assert finding.state is state
    assert f"the oldest unread record is {age} old (partition 0)" in finding.found
    assert "retention is 7 d" in finding.found
    assert (lake.state, f"the oldest {age} old" in lake.found) == (
        State.WARN,
        True,
    )


def test_retention_without_an_end_is_never_near(
    settings: Settings, send: Send, read: Read
) -> None:
    read()
    send(1, 1_000_000)
    endless = {"retention.ms": "-1"}
    assert bad(examined(settings, *BASIS, "resume point", **endless)) == []


def test_a_topic_that_was_made_again_is_told(
    settings: Settings, send: Send, read: Read
) -> None:
    send(1)
    read(7, topic_id="the one before")
    first, second = examined(settings, *BASIS, "resume point")
    assert (first.state, second.state) == (State.WARN, State.OK)
    assert "was made again" in first.found
    assert "the lake read the one before" in first.found


def test_another_cluster_is_told_with_the_flag_that_accepts_it(
    settings: Settings, read: Read
) -> None:
    read(7, cluster_id="elsewhere")
    finding = only(examined(settings, *BASIS, "resume point"))
    assert finding.state is State.FAIL
    assert "of cluster 'elsewhere'" in finding.found
    assert "--new-log" in finding.todo


def test_partitions_that_are_new_to_the_lake_are_told(
    settings: Settings, read: Read
) -> None:
    read(partitions=2)
    finding = only(examined(settings, *BASIS, "resume point"))
    assert finding.found == "2 of 4 partitions were added since `archive` looked"


def test_a_group_far_from_the_lake_is_called_stale(
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
            _, group = examined(settings, *BASIS, "lag")
            assert group.state is state
            assert f"is {9 - offset} offset" in group.found
    assert "7 away from the lake: it is stale" in group.found
    assert "`semloop status`" in group.todo
