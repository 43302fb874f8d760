"""The checks of the resume point and the lag."""

import time
from contextlib import closing

import pytest
from confluent_kafka import TopicPartition

from semloop.command.doctor import State
from semloop.command.doctor.cluster import Cluster
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
from tests.flows.topics import trim

DAY_MS = 24 * 3_600_000
RETENTION = {"retention.ms": str(7 * DAY_MS)}


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
    assert f"the oldest unread record is {age} old by" in finding.found
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
