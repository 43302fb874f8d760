"""However the demo ends, its broker and flows end too."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from semloop.command.demo.signals import Signals
from semloop.command.demo.stack import DemoStack
from semloop.flow_registry import STREAMING
from semloop.settings import load
from tests.demo.shell import Shell
from tests.support.services import wait_for

pytestmark = pytest.mark.process

# Enough events that the demo still runs at every stage.
MANY = ("demo", "--events", "1000000")


def stack_of(shell: Shell) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(
            (shell.lake / "_local/stack.json").read_text()
        )
    except (OSError, ValueError):
        return {}
    return found


# Stages that are visible from outside, in their order.
STAGES: dict[str, Callable[[Shell], object]] = {
    "folder created": lambda shell: (shell.lake / "_demo").exists(),
    "supervisor started": lambda shell: (shell.lake / "_local/supervisor.log").exists(),
    "broker started": lambda shell: stack_of(shell).get("broker_pid"),
    "flow started": lambda shell: stack_of(shell).get("ready"),
    "tables created": lambda shell: any(shell.lake.glob("events/_delta_log/*.json")),
    "rows committed": lambda shell: any(shell.lake.glob("events/date=*/*.parquet")),
}


@pytest.mark.parametrize(
    ("stage", "sent"),
    [
        ("folder created", signal.SIGINT),
        pytest.param("supervisor started", signal.SIGTERM, marks=pytest.mark.storm),
        ("broker started", signal.SIGTERM),
        pytest.param("flow started", signal.SIGTERM, marks=pytest.mark.storm),
        pytest.param("tables created", signal.SIGINT, marks=pytest.mark.storm),
        ("rows committed", signal.SIGHUP),
    ],
    ids=str,
)
def test_a_signal_at_any_stage_leaves_no_process_running(
    shell: Shell, stage: str, sent: signal.Signals
) -> None:
    with shell.start(*MANY) as process:
        wait_for(stage, lambda: STAGES[stage](shell))
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
    assert shell.running() == []
    assert (process.returncode, err) == (128 + sent, "")
    assert "rows" not in out


def test_the_supervisor_is_stopped_after_an_exit_within_popen_poll(
    tmp_path: Path,
) -> None:
    """A signal may leave `Popen`'s lock acquired, which its `wait` needs."""
    with DemoStack(load({}, lake=str(tmp_path / "lake")), Signals()) as stack:
        child = subprocess.Popen([sys.executable, "-"], stdin=subprocess.PIPE)
        stack._supervisor = child
        child._waitpid_lock.acquire()  # type: ignore[attr-defined]
    child._waitpid_lock.release()  # type: ignore[attr-defined]
    assert child.wait(60) == 0


def test_ctrl_c_reaches_only_the_demo_process(shell: Shell) -> None:
    with shell.start(*MANY) as process:
        wait_for("the flow", lambda: stack_of(shell).get("ready"))
        started = shell.running()
        groups = {os.getpgid(each.pid) for each in started}
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # an impatient user
        _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert "SystemExit" not in err
    assert len(started) == len(["supervisor", "broker", *STREAMING])
    assert os.getpgid(0) not in groups
    wait_for("their end", lambda: not shell.running())
    assert "Traceback" not in (shell.lake / "_local/archive.log").read_text()


@pytest.mark.parametrize(
    "stage",
    [pytest.param("supervisor started", marks=pytest.mark.storm), "tables created"],
)
def test_broker_and_flows_end_with_a_killed_demo(shell: Shell, stage: str) -> None:
    with shell.start(*MANY) as process:
        wait_for(stage, lambda: STAGES[stage](shell))
        process.kill()
    wait_for("their end", lambda: not shell.running())


@pytest.mark.parametrize(
    ("victim", "message"),
    [
        ("broker", "The broker died"),
        ("flow", "The flow archive ended with exit code -9"),
        ("supervisor", "The supervisor died"),
    ],
)
def test_the_demo_reports_a_dead_process_and_stops_the_others(
    shell: Shell, victim: str, message: str
) -> None:
    with shell.start(*MANY) as process:
        assert process.stdout is not None
        assert "Kafka at" in process.stdout.readline()
        stack = stack_of(shell)
        pid = {
            "broker": stack["broker_pid"],
            "flow": stack["flows"]["archive"]["pid"],
            "supervisor": stack["pid"],
        }[victim]
        psutil.Process(pid).kill()
        _, err = process.communicate(timeout=60)
    assert shell.running() == []
    assert process.returncode == 1
    assert message in err
    assert "_local" in err
    assert "Traceback" not in err


def test_a_closed_pipe_ends_the_demo_and_its_processes(shell: Shell) -> None:
    with shell.start("demo", "--events", "1") as process:
        assert process.stdout is not None
        assert "Kafka at 127.0.0.1:" in process.stdout.readline()
        process.stdout.close()
        process.wait(60)
    assert shell.running() == []
    assert process.returncode == 1


def test_the_next_demo_stops_processes_of_a_killed_supervisor(shell: Shell) -> None:
    with shell.start(*MANY) as process:
        wait_for("the flow", lambda: stack_of(shell).get("ready"))
        stack = stack_of(shell)
        process.send_signal(signal.SIGSTOP)
        psutil.Process(stack["pid"]).kill()
        wait_for("its end", lambda: len(shell.running()) == 1 + len(STREAMING))
        process.kill()
    shell.run("demo", "--events", "1")
    assert shell.running() == []
