"""`archive` as a process: killed, replaced, interrupted or without a topic."""

import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from semloop.kafka.topic import Topic, TopicAdmin
from semloop.progress.activity import files_of, read_flow
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.flows.flow_runner import produce, stored_origins
from tests.support import processes
from tests.support.kill_and_audit import kill_and_audit
from tests.support.services import wait_for


def test_second_copy_of_archive_takes_over_and_the_older_stops(
    settings: Settings, topic: Topic
) -> None:
    produce(settings, 50)
    older = processes.start(settings, "run", "archive")
    newer = None
    try:
        lake = Path(settings.lake)
        wait_for("first commit", lambda: list(lake.glob("events/date=*/*")))
        newer = processes.start(settings, "run", "archive")
        _, stderr = older.communicate(timeout=60)
        assert older.returncode == 3
        lines = [line for line in stderr.splitlines() if not line.startswith("{")]
        assert len(lines) == 2
        assert "took over" in lines[0]
        produce(settings, 50)
        wait_for("the newer copy", lambda: stored_origins(settings).total() == 100)
        assert newer.poll() is None
    finally:
        for process in (older, newer):
            if process is not None and process.poll() is None:
                process.kill()
                process.communicate()


def test_archive_reports_a_missing_topic_in_two_lines(settings: Settings) -> None:
    # With this timeout the test would hang if the flow waited for a missing topic.
    result = processes.run(settings, "run", "archive", SEMLOOP_START_TIMEOUT_S="1000")
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert lines[0].startswith(f"There is no topic '{settings.topic}'")
    assert len(lines) == 2


def test_archive_killed_at_random_moments_loses_and_duplicates_no_records(
    settings: Settings,
) -> None:
    TopicAdmin(settings).ensure()
    audit = kill_and_audit(settings, events=5_000, kills=3, seed=1, longest_s=2.2)
    assert audit.clean, audit
    assert audit.exits == {-signal.SIGKILL: 3}


@pytest.mark.storm
@pytest.mark.timeout(1800)
def test_archive_killed_many_times_loses_and_duplicates_no_records(
    settings: Settings,
) -> None:
    TopicAdmin(settings).ensure()
    audit = kill_and_audit(settings, events=200_000, kills=25, seed=2)
    print(audit)
    assert audit.clean, audit
    assert audit.kills >= 20


def test_interrupted_archive_exits_with_130_without_a_traceback(
    settings: Settings, topic: Topic
) -> None:
    process = processes.start(settings, "run", "archive")
    activities = partial(
        read_flow, Storage.of(settings), files_of("archive", settings.topic)
    )
    wait_for("start", activities)
    process.send_signal(signal.SIGINT)
    try:
        _, stderr = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 130
    assert "Traceback" not in stderr
    # It was stopped on purpose, so `health` does not miss it.
    assert [activity.ended for activity in activities()] == [True]
