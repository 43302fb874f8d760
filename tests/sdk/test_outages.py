"""Events while the broker is unavailable, dies or starts late, or the process ends."""

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
from semloop.agent.spool.folder import file_name
from semloop.agent.spool.names import spool_name
from semloop.settings import Settings
from tests.sdk.sent_events import sent
from tests.sdk.spooled import unsent
from tests.support.lakes import a_topic
from tests.support.processes import ROOT, environment, run
from tests.support.services import RealBroker, free_port, wait_for

EVENTS = 20_000
WORK = """
import os, sys
from semloop import Agent
agent = Agent("tester")
with agent.session("s-1") as s:
    for number in range(200):
        s.state_change(str(number))
"""


def steps(events: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Return session -> numbers of its events, without duplicates, in topic order."""
    found: dict[str, list[int]] = defaultdict(list)
    seen = set()
    for event in events:
        if event["id"] not in seen:
            seen.add(event["id"])
            number = int(event["payload"]["to_state"])
            found[event["meta"]["session_id"]].append(number)
    return found


@pytest.fixture
def unavailable(tmp_path: Path) -> Settings:
    """Settings with a broker that has not started yet."""
    return Settings().replace(
        lake=str(tmp_path / "lake"),
        kafka=f"127.0.0.1:{free_port()}",
        topic=a_topic(),
        spool=str(tmp_path / "spool"),
    )


def spooled(settings: Settings) -> int:
    return unsent(Path(settings.agent.spool))


def run_agent(
    settings: Settings, after: str = "", before: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", before + WORK + after],
        env=environment(
            settings, SEMLOOP_SPOOL=settings.agent.spool, SEMLOOP_AGENT_FLUSH_S="0.2"
        ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_next_process_sends_the_events_that_the_previous_one_spooled(
    unavailable: Settings, settings: Settings
) -> None:
    done = run_agent(unavailable)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert spooled(unavailable) == 200
    # File names contain broker and topic: rename them to those of the running broker.
    available = settings.replace(spool=unavailable.agent.spool)
    old, new = (file_name(spool_name(each)) for each in (unavailable, available))
    for file in Path(unavailable.agent.spool).iterdir():
        file.rename(file.with_name(file.name.replace(old, new)))
    agent = Agent("tester", settings=available)
    with agent.session("s-2") as s:
        s.state_change("0")
    assert agent.flush(60)
    agent._emitter.close(30)
    assert not list(Path(unavailable.agent.spool).iterdir())
    found = steps(sent(available))
    assert found == {"s-1": list(range(200)), "s-2": [0]}


@pytest.mark.process
def test_no_event_is_lost_if_the_broker_listens_but_never_answers(
    unavailable: Settings,
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        silent = f"127.0.0.1:{server.getsockname()[1]}"
        done = run_agent(unavailable.replace(kafka=silent))
    assert done.returncode == 0, done.stderr
    assert spooled(unavailable) == 200


@pytest.mark.process
def test_a_multiprocessing_child_spools_its_events_at_exit(
    unavailable: Settings,
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
    done = run_agent(unavailable, child)
    assert done.returncode == 0, done.stderr
    assert spooled(unavailable) == 250


def test_an_event_too_large_for_the_topic_is_dropped_without_blocking_others(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = settings.replace(spool=str(tmp_path / "spool"), record_bytes_max=8 * 2**20)
    agent = Agent("tester", settings=own)
    with agent.session("s-1") as s:
        for number in range(3):
            s.state_change(str(number), reason="x" * 6 * 2**20 if number == 1 else "")
    assert agent.flush(60)
    assert steps(sent(own)) == {"s-1": [0, 2]}
    assert agent.dropped == 1
    assert "the topic does not accept messages of their size" in caplog.text
    agent._emitter.close(30)
    assert not list(tmp_path.glob("spool/*"))


def test_a_killed_process_loses_no_event(settings: Settings, tmp_path: Path) -> None:
    own = settings.replace(spool=str(tmp_path / "spool"))
    kill = """
import signal
for number in range(200, 1000):
    s.state_change(str(number))
    if number == 600:
        assert agent.flush(60)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = run_agent(own, kill)
    assert done.returncode == -signal.SIGKILL, done.stderr
    before = len(sent(own))
    assert spooled(own) >= 1000 - before
    agent = Agent("tester", settings=own)
    agent._emitter.close(30)
    assert spooled(own) == 0
    assert steps(sent(own)) == {"s-1": list(range(1000))}


def test_events_dropped_by_a_full_spool_or_queue_are_counted_and_logged_once(
    unavailable: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    small = unavailable.replace(spool_mb=1, agent_queue_mb=1)
    agent = Agent("tester", settings=small)
    with agent.session() as s:
        for _ in range(3_000):
            s.message("user", "x" * 1_000)
    emitter = agent._emitter
    emitter.close(0.1)
    assert 0 < emitter.drops.total < 3_000
    assert emitter.drops.total + spooled(small) == 3_000
    logged = [r for r in caplog.records if "Events are dropped" in r.getMessage()]
    assert len(logged) == 1


def assert_archived(settings: Settings, sessions: int, events: int) -> None:
    """Archive the topic; assert that each session has its events once and in order."""
    done = run(settings, "run", "archive", "--until-caught-up")
    assert done.returncode == 0, done.stderr
    with Lake(settings.lake) as lake:
        found = lake.sql("""
            SELECT session_id, count(*), count(DISTINCT event_id),
                   bool_and(CAST(payload->>'to_state' AS INT) = expected)
            FROM (SELECT *, row_number() OVER (
                PARTITION BY session_id ORDER BY kafka_offset) - 1 AS expected FROM events)
            GROUP BY session_id ORDER BY CAST(session_id AS INT)
        """).fetchall()
    each = events // sessions
    assert found == [(str(s), each, each, True) for s in range(sessions)]


@pytest.mark.real_broker
def test_no_event_is_lost_or_reordered_if_the_broker_is_killed_twice(
    own_broker: RealBroker, unavailable: Settings
) -> None:
    settings = unavailable.replace(kafka=own_broker.address)
    agent = Agent("tester", settings=settings, strict=True)
    emitter = agent._emitter
    sessions = [agent.session(str(n)) for n in range(20)]
    assert agent.flush()
    for number in range(EVENTS):
        sessions[number % 20].state_change(str(number // 20))
        if number in (EVENTS // 5, 3 * EVENTS // 5):
            own_broker.kill()
        if number in (2 * EVENTS // 5, 4 * EVENTS // 5):
            wait_for("the failure", lambda: emitter.available is False)
            own_broker.start()
    assert agent.flush(60)
    assert agent.dropped == 0
    assert_archived(settings, 20, EVENTS)


@pytest.mark.storm
@pytest.mark.real_broker
def test_no_event_is_lost_or_reordered_if_the_broker_is_down_for_a_minute(
    own_broker: RealBroker, unavailable: Settings
) -> None:
    """1,000 events/s for 80 s; the broker is down from second 10 to second 70."""
    settings = unavailable.replace(kafka=own_broker.address)
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
    assert_archived(settings, 20, 80_000)


FORK = """
pid = os.fork()
with agent.session(f"after-{bool(pid)}") as s:
    s.state_change("0")
if pid:
    os.waitpid(pid, 0)
agent.flush(20)
"""
# Simulates a slow import of the Kafka client. A child forked during the import would
# wait indefinitely for the import lock of the importing thread.
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
    ids=["immediately", "after a flush", "during the import"],
)
def test_a_forked_process_sends_only_its_own_events(
    settings: Settings, tmp_path: Path, slow: str, when: str
) -> None:
    own = settings.replace(spool=str(tmp_path / "spool"))
    done = run_agent(own, f"{when}\n{FORK}", slow)
    assert done.returncode == 0, done.stderr
    found = steps(sent(own))
    assert found == {"s-1": list(range(200)), "after-True": [0], "after-False": [0]}
