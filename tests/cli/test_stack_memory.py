"""The flow `memory` in the local stack: with archive, maintenance, and `down`."""

import time
import urllib.request
from pathlib import Path

import pytest

from semloop.command.cli import down
from semloop.command.cli.down import _wait_for_lake_readers
from semloop.command.stack.state import RUNNING, FlowState, Stack
from semloop.flow_registry import STREAMING
from semloop.lake import generations
from semloop.settings import Settings
from tests.cli.shell import Shell
from tests.flows.reindex_lake import Events, overlapping_sessions, run_memory
from tests.sinks.memory_process import MemoryProcess, lake_settings
from tests.support.services import free_port, wait_for

pytestmark = pytest.mark.process

NO_LIMIT = float("inf")


def test_memory_runs_with_archive_and_its_table_is_maintained(shell: Shell) -> None:
    port = free_port(3)
    shell.write_events(40)
    shell.run(
        "up",
        SEMLOOP_INDEX_EVERY_S="1",
        SEMLOOP_COMPACT_EVERY_S="1",
        SEMLOOP_METRICS_PORT=str(port),
    )
    shell.import_()
    shell.run("run", "archive", "--until-caught-up")
    shell.run("run", "memory", "--until-caught-up")
    status = shell.json("status")
    flow = status["flows"]["memory"]
    assert (flow["state"], flow["lag"], flow["at_least"]) == ("running", 0, False)
    assert [at["lag"] for at in flow["partitions"]] == [0, 0, 0, 0]
    tables = status["lake"]["tables"]
    assert set(tables) == {
        "events", "dead_letters", "episodes", "agent_metrics", "streams", "memories",
    }  # fmt: skip
    assert tables["episodes"]["rows"] > 0
    assert (tables["memories"]["rows"], tables["memories"]["bytes"] > 0) == (40, True)
    output = shell.run("status")
    assert f"Flow   memory: running, pid {flow['pid']}, caught up" in output
    assert "ok    flow memory runs" in shell.run("health")
    count = "SELECT count(*) AS n FROM memories WHERE kind = 'event'"
    assert shell.json("sql", count) == [{"n": 40}]
    shell.run("run", "metrics", "--until-caught-up")
    summed = "SELECT sum(events)::BIGINT AS n FROM metrics_by_agent"
    assert shell.json("sql", summed) == [{"n": 40}]
    for index, name in enumerate(STREAMING):
        with urllib.request.urlopen(f"http://127.0.0.1:{port + index}") as response:
            metrics = response.read().decode()
        flows = {n for n in STREAMING if f'flow="{n}"' in metrics}
        assert flows == {name}
    log, supervisor = shell.local.log("index"), shell.local.log("supervisor")
    wait_for(
        "maintenance", lambda: log.exists() and "Memories: 40, " in log.read_text()
    )
    compaction = shell.local.log("compact")
    wait_for("a compaction", compaction.exists)
    # A run that has nothing to do says nothing.
    assert compaction.read_text() == ""
    assert "maintain" not in supervisor.read_text()
    # A failed run is logged in one line.
    folder = shell.lake / generations.FOLDER
    folder.rename(shell.lake / "gone")
    failed = f"maintain index exited with 1; see {log}."
    wait_for("the failed run", lambda: failed in supervisor.read_text())
    assert "Rebuild them: `semloop maintain reindex`." in log.read_text()
    (shell.lake / "gone").rename(folder)
    output = shell.run("down")
    assert "Everything is in the lake" in output
    assert "behind" not in output


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A lake in which archive is 30 events ahead of memory, which has read 10."""
    found = lake_settings(tmp_path / "lake")
    events = Events(found)
    events.add(overlapping_sessions(10))
    run_memory(found, events)
    events.add(overlapping_sessions(30, first=10))
    return found


def a_stack(flow: FlowState | None) -> Stack:
    flows = {} if flow is None else {"memory": flow}
    return Stack(1, 0.0, "", "127.0.0.1:1", "agent-events", embedded=True, flows=flows)


def flow(deaths: int = 0, state: str = RUNNING) -> FlowState:
    return FlowState(1, 0.0, state, 0, None, deaths)


@pytest.mark.parametrize(
    ("running", "seconds", "left"),
    [
        # `down` does not wait for a flow that keeps dying, was taken over or stopped.
        (a_stack(flow(deaths=5)), NO_LIMIT, 30),
        (a_stack(flow(state="stopped")), NO_LIMIT, 30),
        (None, NO_LIMIT, 30),
        (a_stack(flow()), 0.0, 30),
    ],
    ids=["keeps dying", "stopped for good", "no supervisor", "no time"],
)
def test_down_returns_the_lag_of_memory_without_waiting(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    running: Stack | None,
    seconds: float,
    left: int,
) -> None:
    monkeypatch.setattr(down, "running_stack", lambda _: running)
    deadline = time.monotonic() + seconds
    found = _wait_for_lake_readers(settings, a_stack(flow()), deadline)
    assert found == {"memory": left}
    # In a stack without flows there is no flow to wait for.
    assert _wait_for_lake_readers(settings, a_stack(None), deadline) == {}


def test_down_waits_until_memory_has_caught_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = MemoryProcess(settings)
    events = [overlapping_sessions(10), overlapping_sessions(30, first=10)]
    positions: list[int] = []

    def poll(_: Settings) -> Stack:
        positions.append(life.position)
        for stream in events:
            life.read(stream, 20, None)
        return a_stack(flow())

    monkeypatch.setattr(down, "running_stack", poll)
    monkeypatch.setattr(down, "POLL_S", 0.0)
    assert _wait_for_lake_readers(settings, a_stack(flow()), NO_LIMIT) == {}
    assert positions == [9, 29, 39]


def test_down_does_not_wait_for_memory_in_a_lake_without_events(
    tmp_path: Path,
) -> None:
    empty = lake_settings(tmp_path / "empty")
    assert _wait_for_lake_readers(empty, a_stack(flow()), NO_LIMIT) == {}
