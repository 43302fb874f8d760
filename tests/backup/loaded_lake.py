"""A lake under load, and what a copy of it must be."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from semloop.delta.snapshot import read_snapshot
from semloop.kafka.topic import TopicAdmin
from semloop.lake.lake import Lake
from semloop.settings import Settings
from semloop.storage.location import Storage
from tests.flows.flow_runner import FlowProcess, Origins, produce, stored_origins
from tests.flows.memory_audit import SESSION_EVENTS, memory_differences, session_event
from tests.support import processes
from tests.support.in_process import run_flow
from tests.support.kill_and_audit import Load
from tests.support.services import wait_for

# Many commits, small merges and some artifacts within seconds.
BUSY = {
    "SEMLOOP_COMMIT_INTERVAL_S": "0.1",
    "SEMLOOP_EVENT_BYTES_MAX": "1000",
    "SEMLOOP_EMBEDDER": "hashing",
}
BROKEN_EVERY, LARGE_EVERY = 41, 43


def value(number: int, session: str) -> bytes:
    """Events of sessions that end; now and then a broken record, or a large one."""
    if number % BROKEN_EVERY == 0:
        return b'{"broken": %d' % number
    event = session_event(number, session)
    if number % LARGE_EVERY == 0:
        large = json.loads(event)
        large["payload"]["more"] = "large" * 4_000
        event = json.dumps(large).encode()
    return event


@contextmanager
def load(settings: Settings, events: int, seconds: float) -> Iterator[Load]:
    """Produce events while both flows, a compaction and an index run."""
    TopicAdmin(settings).ensure()
    producer = Load(settings, events, seconds, value, prompt=True)
    producer.origins |= produce(
        settings, [session_event(number, "first") for number in range(SESSION_EVENTS)]
    )
    with ExitStack() as stack:
        for flow in ("archive", "memory"):
            running = FlowProcess(settings, flow=flow, **BUSY)
            stack.callback(running.stop)
        stack.callback(_stop, _compaction(settings))
        wait_for("both flows", lambda: _has_memories(settings))
        producer.start()
        yield producer
        producer.join()


def _compaction(settings: Settings) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.flows.compaction_process"],
        env=processes.environment(settings, **BUSY),
        cwd=processes.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def check(settings: Settings) -> tuple[int, str]:
    """Return the exit code of `semloop maintain check`, and its output."""
    result = processes.run(settings, "maintain", "check", SEMLOOP_EMBEDDER="hashing")
    return result.returncode, result.stdout + result.stderr


def assert_continues(copy: Settings, produced: Origins) -> None:
    """Open a copy, let the flows continue there, and compare it with all records."""
    before = stored_origins(copy)
    assert set(before.values()) <= {1}
    assert before.keys() <= produced.keys()
    run_flow(copy)
    run_flow(copy, "memory")
    assert stored_origins(copy) == produced
    assert memory_differences(copy) == {}
    with Lake(settings=copy) as lake:
        assert lake.recall("case 3", k=3)


def _has_memories(settings: Settings) -> bool:
    snapshot = read_snapshot(Storage.of(settings), "episodes")
    return bool(snapshot and snapshot.files)
