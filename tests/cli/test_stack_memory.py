"""The flow `memory` in the local stack: beside archive, with upkeep, at the end."""

import time
import urllib.request
from pathlib import Path

import pytest

from semloop.command.cli import down
from semloop.command.cli.down import _wait_for_lake_readers
from semloop.command.stack.state import RUNNING, FlowState, Stack
from semloop.lake import generations
from semloop.settings import Settings
from tests.cli.test_stack import Shell, eventually, shell
from tests.flows.a_reindex import Events, a_day, live
from tests.services import free_port
from tests.sinks.a_memory import Life, a_lake

__all__ = ["shell"]  # a fixture

FOR_EVER = float("inf")


def test_memory_runs_beside_archive_and_its_table_is_kept(shell: Shell) -> None:
    port = free_port(2)
    shell.write_events(40)
    shell.run("up", SEMLOOP_INDEX_EVERY_S="1", SEMLOOP_METRICS_PORT=str(port))
    shell.import_()
    shell.run("run", "archive", "--until-caught-up")
    shell.run("run", "memory", "--until-caught-up")
    status = shell.json("status")
    flow = status["flows"]["memory"]
    assert (flow["state"], flow["lag"], flow["at_least"]) == ("running", 0, False)
    assert [at["lag"] for at in flow["partitions"]] == [0, 0, 0, 0]
    tables = status["lake"]["tables"]
    assert set(tables) == {"events", "dead_letters", "episodes", "streams", "memories"}
    assert tables["episodes"]["rows"] > 0
    assert (tables["memories"]["rows"], tables["memories"]["bytes"] > 0) == (40, True)
    told = shell.run("status")
    assert f"Flow   memory: running, pid {flow['pid']}, all is in the lake" in told
    assert "ok    flow memory runs" in shell.run("health")
    count = "SELECT count(*) AS n FROM memories WHERE kind = 'event'"
    assert shell.json("sql", count) == [{"n": 40}]
    for place, name in enumerate(("archive", "memory")):
        with urllib.request.urlopen(f"http://127.0.0.1:{port + place}") as answer:
            said = answer.read().decode()
        flows = {n for n in ("archive", "memory") if f'flow="{n}"' in said}
        assert flows == {name}
    log, supervisor = shell.local.log("index"), shell.local.log("supervisor")
    eventually(lambda: log.exists() and "Memories: 40, " in log.read_text())
    assert "maintain" not in supervisor.read_text()
    # What was removed under it is told, one line each time.
    folder = shell.lake / generations.FOLDER
    folder.rename(shell.lake / "gone")
    failed = f"maintain index ended with 1; see {log}."
    eventually(lambda: failed in supervisor.read_text())
    assert "Make them anew: `semloop maintain reindex`." in log.read_text()
    (shell.lake / "gone").rename(folder)
    told = shell.run("down")
    assert "Everything is in the lake" in told
    assert "behind" not in told


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A lake in which archive is 30 events ahead of memory, which has consumed 10."""
    found = a_lake(tmp_path / "lake")
    events = Events(found)
    events.add(a_day(10))
    live(found, events)
    events.add(a_day(30, first=10))
    return found


def a_stack(flow: FlowState | None) -> Stack:
    flows = {} if flow is None else {"memory": flow}
    return Stack(1, 0.0, "", "127.0.0.1:1", "agent-events", embedded=True, flows=flows)


def flow(deaths: int = 0, state: str = RUNNING) -> FlowState:
    return FlowState(1, 0.0, state, 0, None, deaths)


@pytest.mark.parametrize(
    ("known", "seconds", "left"),
    [
        # Who dies again and again, was taken over or is gone is not waited for.
        (a_stack(flow(deaths=5)), FOR_EVER, 30),
        (a_stack(flow(state="taken over")), FOR_EVER, 30),
        (None, FOR_EVER, 30),
        (a_stack(flow()), 0.0, 30),
    ],
    ids=["hopeless", "taken over", "no supervisor", "no time"],
)
def test_down_says_how_far_memory_is_behind(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    known: Stack | None,
    seconds: float,
    left: int,
) -> None:
    monkeypatch.setattr(down, "running_stack", lambda _: known)
    deadline = time.monotonic() + seconds
    found = _wait_for_lake_readers(settings, a_stack(flow()), deadline)
    assert found == {"memory": left}
    # A stack without flows has nobody to wait for.
    assert _wait_for_lake_readers(settings, a_stack(None), deadline) == {}


def test_down_waits_until_memory_has_caught_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(settings)
    events = [a_day(10), a_day(30, first=10)]
    looks: list[int] = []

    def a_look(_: Settings) -> Stack:
        looks.append(life.position)
        for stream in events:
            life.read(stream, 20, None)
        return a_stack(flow())

    monkeypatch.setattr(down, "running_stack", a_look)
    monkeypatch.setattr(down, "LOOK_S", 0.0)
    assert _wait_for_lake_readers(settings, a_stack(flow()), FOR_EVER) == {}
    assert looks == [9, 29, 39]


def test_a_lake_that_archive_never_wrote_has_nothing_to_wait_for(
    tmp_path: Path,
) -> None:
    empty = a_lake(tmp_path / "empty")
    assert _wait_for_lake_readers(empty, a_stack(flow()), FOR_EVER) == {}
