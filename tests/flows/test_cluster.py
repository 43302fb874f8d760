"""`semloop run archive --processes N`: several processes, all or none."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from semloop.kafka.topic import Topic, TopicAdmin
from semloop.lake.lake import Lake
from semloop.settings import Settings
from tests import processes
from tests.kill_and_audit import Load, kill_and_audit, members
from tests.services import free_port, wait_for

TWO = ("run", "archive", "--processes", "2")


@contextmanager
def started(settings: Settings, **more: str) -> "Iterator[subprocess.Popen[str]]":
    """Two processes of the flow, and the one above them."""
    above = processes.start(settings, *TWO, **more)
    try:
        yield above
    finally:
        above.kill()
        above.communicate()


def load(settings: Settings, events: int) -> int:
    """Produce; returns how many records there are."""
    thread = Load(settings, events, seconds=0)
    thread.run()
    return len(thread.origins)


def archived(settings: Settings) -> int:
    if not Path(settings.lake).exists():
        return 0
    with Lake(settings.lake) as lake:
        counts = (
            "FROM events SELECT count(*) UNION ALL FROM dead_letters SELECT count(*)"
        )
        return sum(n for (n,) in lake.sql(counts).fetchall())


def errors(said: str) -> list[str]:
    """What was said beside the logs."""
    return [line for line in said.splitlines() if not line.startswith("{")]


def test_either_process_is_killed_and_every_record_is_there_once(
    settings: Settings, topic: Topic
) -> None:
    audit = kill_and_audit(
        settings, events=10_000, kills=2, seed=3, longest_s=1.5, processes=2
    )
    assert audit.clean, audit
    assert audit.kills == 2


@pytest.mark.storm
@pytest.mark.timeout(1800)
def test_a_storm_of_kills_of_three_processes_loses_and_doubles_nothing(
    settings: Settings, topic: Topic
) -> None:
    # Not more of them: whoever dies quickly again and again waits for half a minute.
    audit = kill_and_audit(settings, events=200_000, kills=8, seed=4, processes=3)
    print(audit)
    assert audit.clean, audit


def test_a_second_copy_takes_over_and_the_older_one_ends_in_two_lines(
    settings: Settings, topic: Topic
) -> None:
    count = load(settings, 200)
    port = free_port(2)
    more = {"SEMLOOP_METRICS_PORT": str(port), "SEMLOOP_FENCE_CHECK_S": "0.3"}
    with started(settings, **more) as older:
        wait_for("the first rows", lambda: archived(settings) == count)
        for each in (port, port + 1):
            with urlopen(f"http://127.0.0.1:{each}/metrics") as page:
                assert b"semloop_last_offset" in page.read()
        with started(settings) as newer:
            _, said = older.communicate(timeout=60)
            assert older.returncode == 3
            first, _ = errors(said)
            assert "took over" in first
            count += load(settings, 200)
            wait_for("the newer copy", lambda: archived(settings) == count)
            assert newer.poll() is None


def test_more_processes_than_partitions_come_to_the_end_too(
    settings: Settings,
) -> None:
    TopicAdmin(settings.replace(partitions=1)).ensure()
    count = load(settings, 300)
    done = processes.run(settings, *TWO, "--until-caught-up", "--accept-gap")
    assert (done.returncode, errors(done.stderr)) == (0, [])
    assert archived(settings) == count


@pytest.mark.parametrize(
    ("variable", "value", "first"),
    [
        ("SEMLOOP_TOPIC", "nowhere", "There is no topic 'nowhere'"),
        ("SEMLOOP_COMMIT_ROWS", "many", "Setting 'commit_rows'"),
    ],
)
def test_a_mistake_is_said_once_in_two_lines(
    settings: Settings, variable: str, value: str, first: str
) -> None:
    done = processes.run(settings, *TWO, **{variable: value})
    assert done.returncode == 1
    said, _ = errors(done.stderr)
    assert said.startswith(first)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_the_process_above_ends_no_other_is_left(
    settings: Settings, topic: Topic, number: signal.Signals
) -> None:
    with started(settings) as above:
        wait_for("the tables", lambda: Path(settings.lake, "events").exists())
        left = members(above)
        assert len(left) == 2
        above.send_signal(number)
        _, said = above.communicate(timeout=30)
        assert errors(said) == []
        assert psutil.wait_procs(left, timeout=30)[1] == []
