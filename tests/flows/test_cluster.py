"""`semloop run archive --processes N`: several processes that live and end together."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from semloop.kafka.topic import Topic, TopicAdmin
from semloop.lake.lake import Lake
from semloop.progress.activity import files_of, read_flow
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.support import processes
from tests.support.kill_and_audit import Load, kill_and_audit, members
from tests.support.services import free_port, wait_for

TWO_PROCESSES = ("run", "archive", "--processes", "2")


@contextmanager
def two_processes(
    settings: Settings, **environment: str
) -> "Iterator[subprocess.Popen[str]]":
    """Start two processes of the flow; yield their parent process."""
    parent = processes.start(settings, *TWO_PROCESSES, **environment)
    try:
        yield parent
    finally:
        parent.kill()
        parent.communicate()


def produce(settings: Settings, events: int) -> int:
    """Produce events; return the number of acknowledged records."""
    load = Load(settings, events, seconds=0)
    load.run()
    return len(load.origins)


def stored_rows(settings: Settings) -> int:
    """Number of rows in `events` and `dead_letters`."""
    if not Path(settings.lake).exists():
        return 0
    with Lake(settings.lake) as lake:
        counts = (
            "FROM events SELECT count(*) UNION ALL FROM dead_letters SELECT count(*)"
        )
        return sum(n for (n,) in lake.sql(counts).fetchall())


def messages(output: str) -> list[str]:
    """Return the lines of an output that are not logs."""
    return [line for line in output.splitlines() if not line.startswith("{")]


def test_archive_stores_every_record_once_when_either_of_two_processes_is_killed(
    settings: Settings, topic: Topic
) -> None:
    audit = kill_and_audit(
        settings, events=4_000, kills=2, seed=3, longest_s=1.5, processes=2
    )
    assert audit.clean, audit
    assert audit.kills == 2


@pytest.mark.storm
@pytest.mark.timeout(1800)
def test_archive_stores_every_record_once_when_three_processes_are_killed_often(
    settings: Settings, topic: Topic
) -> None:
    # No more kills: processes that die repeatedly wait half a minute for a restart.
    audit = kill_and_audit(settings, events=200_000, kills=8, seed=4, processes=3)
    print(audit)
    assert audit.clean, audit


def test_second_copy_takes_over_from_two_processes_that_end_with_two_lines(
    settings: Settings, topic: Topic
) -> None:
    count = produce(settings, 200)
    port = free_port(2)
    environment = {"SEMLOOP_METRICS_PORT": str(port), "SEMLOOP_FENCE_CHECK_S": "0.3"}
    with two_processes(settings, **environment) as older:
        wait_for("the first rows", lambda: stored_rows(settings) == count)
        for each in (port, port + 1):
            with urlopen(f"http://127.0.0.1:{each}/metrics") as page:
                assert b"semloop_last_offset" in page.read()
        with two_processes(settings) as newer:
            _, stderr = older.communicate(timeout=60)
            assert older.returncode == 3
            first, _ = messages(stderr)
            assert "took over" in first
            count += produce(settings, 200)
            wait_for("the newer copy", lambda: stored_rows(settings) == count)
            assert newer.poll() is None


def test_archive_with_more_processes_than_partitions_catches_up_and_exits(
    settings: Settings,
) -> None:
    TopicAdmin(settings.replace(partitions=1)).ensure()
    count = produce(settings, 300)
    done = processes.run(settings, *TWO_PROCESSES, "--until-caught-up", "--accept-gap")
    assert (done.returncode, messages(done.stderr)) == (0, [])
    assert stored_rows(settings) == count


@pytest.mark.parametrize(
    ("variable", "value", "first"),
    [
        ("SEMLOOP_TOPIC", "nowhere", "There is no topic 'nowhere'"),
        ("SEMLOOP_COMMIT_ROWS", "many", "Setting 'commit_rows'"),
    ],
)
def test_several_processes_report_a_wrong_setting_once_in_two_lines(
    settings: Settings, variable: str, value: str, first: str
) -> None:
    done = processes.run(settings, *TWO_PROCESSES, **{variable: value})
    assert done.returncode == 1
    message, _ = messages(done.stderr)
    assert message.startswith(first)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_all_processes_end_when_their_parent_ends_by_a_signal(
    settings: Settings, topic: Topic, number: signal.Signals
) -> None:
    activities = partial(
        read_flow, Storage.of(settings), files_of("archive", settings.topic)
    )
    with two_processes(settings) as parent:
        wait_for("both", lambda: len(activities()) == 2)
        children = members(parent)
        assert len(children) == 2
        parent.send_signal(number)
        _, stderr = parent.communicate(timeout=60)
        assert messages(stderr) == []
        assert psutil.wait_procs(children, timeout=60)[1] == []
    # SIGTERM counts as a restart, after which a flow that stays silent is a fault.
    ended = number == signal.SIGINT
    assert [activity.ended for activity in activities()] == [ended, ended]
