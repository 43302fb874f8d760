"""`health` says how long the oldest record waits that cannot be queried yet."""

import time
from pathlib import Path

import pytest

from semloop.command.health import Status
from semloop.command.health.freshness import freshness_check
from semloop.kafka.topic import Topic
from semloop.progress import backlog
from semloop.progress.backlog import Backlog, Missing
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from tests.doctor.run_checks import Read, Send


@pytest.mark.parametrize(
    ("age_s", "status"),
    [(5, Status.OK), (60, Status.WARN), (600, Status.FAIL)],
    ids=["fresh", "late", "very late"],
)
def test_records_that_wait_warn_then_fail_until_archive_has_read_them(
    age_s: int, status: Status, settings: Settings, topic: Topic, read: Read, send: Send
) -> None:
    read()
    send(3, int((time.time() - age_s) * 1_000))
    check = freshness_check(settings, Storage.of(settings), topic)
    assert check.status is status
    assert check.figures["waiting"] == 3
    read(2)
    after = freshness_check(settings, Storage.of(settings), topic)
    assert (after.status, after.figures["waiting"]) == (Status.OK, 0)


@pytest.mark.parametrize(
    ("interval_s", "waits_s", "is_read", "status"),
    [
        (120.0, 100, True, Status.OK),
        (1.0, 100, True, Status.WARN),
        (1.0, 1, False, Status.NOTE),
    ],
    ids=["commits are rare", "commits are frequent", "a partition was not read"],
)
def test_the_commit_interval_and_partitions_that_were_not_read_are_no_fault(
    interval_s: float,
    waits_s: int,
    is_read: bool,
    status: Status,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    oldest_ms = int((time.time() - waits_s) * 1_000)
    unread = Backlog(1, 0, records=0 if is_read else 9, at_least=not is_read)
    left = Missing([Backlog(0, 0, 1, 1, oldest_ms=oldest_ms), unread])
    monkeypatch.setattr(backlog, "missing", lambda *_: left)
    settings = load({"SEMLOOP_COMMIT_INTERVAL_S": f"{interval_s}"}, lake=str(tmp_path))
    topic = Topic("events", "cluster", "topic", 2)
    check = freshness_check(settings, Storage.of(settings), topic)
    assert check.status is status
