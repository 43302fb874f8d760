"""`health` says how long the oldest record waits that cannot be queried yet."""

import time

import pytest

from semloop.command.health import Status
from semloop.command.health.freshness import freshness_check
from semloop.kafka.topic import Topic
from semloop.settings import Settings
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
