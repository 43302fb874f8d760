"""Events while the broker is away, dies or comes late, and when the process ends."""

import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from semloop import Lake
from semloop.agent.agent import Agent
from semloop.agent.sender import spool_name
from semloop.agent.spool import file_name
from semloop.settings import Settings
from tests.conftest import a_topic
from tests.processes import ROOT, environment, run
from tests.sdk.test_agent import sent
from tests.services import RealBroker, free_port, wait_for

EVENTS = 100_000
WORK = """
import os, sys
from semloop import Agent
agent = Agent("tester")
with agent.session("s-1") as s:
    for number in range(200):
        s.state_change(str(number))
"""


def steps(events: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Numbers of each session's events, each event once, in the order of the topic."""
    found: dict[str, list[int]] = defaultdict(list)
    seen = set()
    for event in events:
        if event["id"] not in seen:
            seen.add(event["id"])
            number = int(event["payload"]["to_state"])
            found[event["meta"]["session_id"]].append(number)
    return found


@pytest.fixture
def away(tmp_path: Path) -> Settings:
    """A broker that is not there yet."""
    return Settings().replace(
        lake=str(tmp_path / "lake"),
        kafka=f"127.0.0.1:{free_port()}",
        topic=a_topic(),
        spool=str(tmp_path / "spool"),
    )


def lines(settings: Settings) -> int:
    files = Path(settings.agent.spool).glob("*.jsonl")
    return sum(file.read_bytes().count(b"\n") for file in files)


def work(
    settings: Settings, more: str = "", before: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", before + WORK + more],
        env=environment(
            settings, SEMLOOP_SPOOL=settings.agent.spool, SEMLOOP_AGENT_FLUSH_S="0.2"
        ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_what_a_process_could_not_send_the_next_one_sends(
    away: Settings, settings: Settings
) -> None:
    done = work(away)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert lines(away) == 200
    # The spool belongs to a broker and a topic: here is one at last.
    there = settings.replace(spool=away.agent.spool)
    old, new = (file_name(spool_name(each)) for each in (away, there))
    for file in Path(away.agent.spool).iterdir():
        file.rename(file.with_name(file.name.replace(old, new)))
    agent = Agent("tester", settings=there)
    with agent.session("s-2") as s:
        s.state_change("0")
    assert agent.flush(30)
    wait_for("the spool", lambda: not list(Path(away.agent.spool).iterdir()))
    found = steps(sent(there))
    assert found == {"s-1": list(range(200)), "s-2": [0]}


def test_a_broker_that_listens_and_never_answers_loses_nothing(away: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        mute = f"127.0.0.1:{server.getsockname()[1]}"
        done = work(away.replace(kafka=mute))
    assert done.returncode == 0, done.stderr
    assert lines(away) == 200


def test_a_child_of_multiprocessing_leaves_its_events_in_the_spool(
    away: Settings,
) -> None:
    child = """
import multiprocessing
def child():
    with agent.session("s-2") as s:
        for number in range(50):
            s.state_change(str(number))
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
assert process.exitcode == 0
"""
    done = work(away, child)
    assert done.returncode == 0, done.stderr
    assert lines(away) == 250


def test_an_event_that_no_topic_takes_is_dropped_and_holds_nothing_up(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = settings.replace(spool=str(tmp_path / "spool"), event_bytes_max=8 * 2**20)
    agent = Agent("tester", settings=own)
    with agent.session("s-1") as s:
        for number in range(3):
            s.state_change(str(number), reason="x" * 6 * 2**20 if number == 1 else "")
    assert agent.flush(30)
    assert steps(sent(own)) == {"s-1": [0, 2]}
    assert agent.dropped == 1
    assert "takes no message of 6,29" in caplog.text
    assert not list(tmp_path.glob("spool/*"))


def test_what_nobody_sends_any_more_can_be_imported(
    away: Settings, settings: Settings
) -> None:
    assert work(away).returncode == 0
    [file] = Path(away.agent.spool).iterdir()
    done = run(settings, "import", str(file), "--format", "events")
    assert "records produced: 200." in done.stdout
    assert steps(sent(settings)) == {"s-1": list(range(200))}


def test_a_killed_process_leaves_what_it_had_spooled(away: Settings) -> None:
    kill = "\nimport time, signal\nfrom pathlib import Path\n"
    kill += f"while not list(Path({away.agent.spool!r}).glob('*.jsonl')): time.sleep(0.01)\n"
    kill += "os.kill(os.getpid(), signal.SIGKILL)\n"
    assert work(away, kill).returncode == -signal.SIGKILL
    assert 0 < lines(away) <= 200


def test_a_killed_process_loses_only_what_the_broker_had_not_acknowledged(
    settings: Settings, tmp_path: Path
) -> None:
    own = settings.replace(spool=str(tmp_path / "spool"))
    kill = """
import signal
assert agent.flush(30)
for number in range(200, 1000):
    s.state_change(str(number))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = work(own, kill)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found = steps(sent(own))["s-1"]
    assert found == list(range(max(200, len(found))))


def test_a_full_spool_and_a_full_queue_drop_and_say_so_once(
    away: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    small = away.replace(spool_mb=1, agent_queue_mb=1)
    agent = Agent("tester", settings=small)
    with agent.session() as s:
        for _ in range(3_000):
            s.message("user", "x" * 1_000)
    emitter = agent._emitter
    wait_for("the spool", lambda: emitter.dropped)
    emitter.close(0.1)
    assert 0 < emitter.dropped < 3_000
    assert emitter.dropped + lines(small) == 3_000
    said = [r.getMessage() for r in caplog.records if "dropped" in r.getMessage()]
    assert len(said) == 1


def in_the_lake(settings: Settings, sessions: int, events: int) -> None:
    """Each session's events are there once, and in their order."""
    done = run(settings, "run", "archive", "--until-caught-up")
    assert done.returncode == 0, done.stderr
    with Lake(settings.lake) as lake:
        found = lake.sql("""
            SELECT session_id, count(*), count(DISTINCT event_id),
                   bool_and(CAST(payload->>'to_state' AS INT) = place)
            FROM (SELECT *, row_number() OVER (
                PARTITION BY session_id ORDER BY kafka_offset) - 1 AS place FROM events)
            GROUP BY session_id ORDER BY CAST(session_id AS INT)
        """).fetchall()
    each = events // sessions
    assert found == [(str(s), each, each, True) for s in range(sessions)]


@pytest.mark.real_broker
def test_a_broker_killed_twice_loses_nothing_and_keeps_the_order(
    own_broker: RealBroker, away: Settings
) -> None:
    settings = away.replace(kafka=own_broker.address)
    agent = Agent("tester", settings=settings, strict=True)
    sessions = [agent.session(str(n)) for n in range(20)]
    assert agent.flush()
    for number in range(EVENTS):
        sessions[number % 20].state_change(str(number // 20))
        if number in (EVENTS // 5, 3 * EVENTS // 5):
            own_broker.kill()
        if number in (2 * EVENTS // 5, 4 * EVENTS // 5):
            wait_for("the spool", lambda: lines(settings))
            own_broker.start()
    assert agent.flush(60)
    assert agent.dropped == 0
    in_the_lake(settings, 20, EVENTS)


@pytest.mark.storm
@pytest.mark.real_broker
def test_a_minute_without_a_broker_loses_nothing_and_keeps_the_order(
    own_broker: RealBroker, away: Settings
) -> None:
    """1,000 events/s for 80 s; the broker is away from second 10 to second 70."""
    settings = away.replace(kafka=own_broker.address)
    agent = Agent("tester", settings=settings, strict=True)
    sessions = [agent.session(str(n)) for n in range(20)]
    begin_s = time.monotonic()
    for number in range(80_000):
        sessions[number % 20].state_change(str(number // 20))
        if number == 10_000:
            own_broker.kill()
        if number == 70_000:
            own_broker.start()
        time.sleep(max(0, begin_s + number / 1_000 - time.monotonic()))
    assert agent.flush(60)
    assert agent.dropped == 0
    in_the_lake(settings, 20, 80_000)


FORK = """
pid = os.fork()
with agent.session(f"after-{bool(pid)}") as s:
    s.state_change("0")
if pid:
    os.waitpid(pid, 0)
agent.flush(20)
"""
# As if Kafka's client came from a slow disk: forked while a thread loads it, a process
# would wait for ever for the lock of that thread.
SLOW_DISK = """
import sys, threading, time
loading = threading.Event()
class SlowDisk:
    def find_spec(self, name, *_):
        if name == "confluent_kafka":
            loading.set()
            time.sleep(0.5)
sys.meta_path.insert(0, SlowDisk())
"""


@pytest.mark.parametrize(
    ("slow", "when"),
    [("", ""), ("", "agent.flush(20)"), (SLOW_DISK, "loading.wait()")],
    ids=["at once", "after a flush", "while it loads"],
)
def test_a_forked_process_sends_its_own_events_and_none_of_its_parents(
    settings: Settings, tmp_path: Path, slow: str, when: str
) -> None:
    own = settings.replace(spool=str(tmp_path / "spool"))
    done = work(own, f"{when}\n{FORK}", slow)
    assert done.returncode == 0, done.stderr
    found = steps(sent(own))
    assert found == {"s-1": list(range(200)), "after-True": [0], "after-False": [0]}
