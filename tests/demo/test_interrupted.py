"""However and whenever the demo ends, its broker and its flow end with it."""

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
from semloop.settings import load
from tests.demo.shell import Shell
from tests.services import wait_for

# So many that the demo is still at it, whenever it is looked at.
MANY = ("demo", "--events", "1000000")


def stack_of(shell: Shell) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(
            (shell.lake / "_local/stack.json").read_text()
        )
    except (OSError, ValueError):
        return {}
    return found


# What can be seen from outside, in the order in which it comes.
STAGES: dict[str, Callable[[Shell], object]] = {
    "folder made": lambda shell: (shell.lake / "_demo").exists(),
    "supervisor started": lambda shell: (shell.lake / "_local/supervisor.log").exists(),
    "broker started": lambda shell: stack_of(shell).get("broker_pid"),
    "flow started": lambda shell: stack_of(shell).get("ready"),
    "tables made": lambda shell: any(shell.lake.glob("events/_delta_log/*.json")),
    "rows committed": lambda shell: any(shell.lake.glob("events/date=*/*.parquet")),
}


@pytest.mark.parametrize(
    ("stage", "sent"),
    [
        ("folder made", signal.SIGINT),
        ("supervisor started", signal.SIGTERM),
        ("broker started", signal.SIGINT),
        ("flow started", signal.SIGTERM),
        ("tables made", signal.SIGINT),
        ("rows committed", signal.SIGINT),
        ("rows committed", signal.SIGHUP),
    ],
    ids=str,
)
def test_a_signal_at_any_moment_leaves_nothing_running(
    shell: Shell, stage: str, sent: signal.Signals
) -> None:
    with shell.start(*MANY) as process:
        wait_for(stage, lambda: STAGES[stage](shell))
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
    assert shell.left() == []
    assert (process.returncode, err) == (128 + sent, "")
    assert "rows" not in out


def test_an_exit_within_a_look_at_the_supervisor_does_not_keep_it(
    tmp_path: Path,
) -> None:
    """A signal may leave the lock of `Popen` taken, which its `wait` needs."""
    with DemoStack(load({}, lake=str(tmp_path / "lake")), Signals()) as stack:
        child = subprocess.Popen([sys.executable, "-"], stdin=subprocess.PIPE)
        stack._supervisor = child
        child._waitpid_lock.acquire()  # type: ignore[attr-defined]
    child._waitpid_lock.release()  # type: ignore[attr-defined]
    assert child.wait(30) == 0


def test_ctrl_c_of_a_terminal_reaches_the_demo_alone(shell: Shell) -> None:
    with shell.start(*MANY) as process:
        wait_for("the flow", lambda: stack_of(shell).get("ready"))
        started = shell.left()
        groups = {os.getpgid(each.pid) for each in started}
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # by somebody without patience
        _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert "SystemExit" not in said
    assert len(started) == 4
    assert os.getpgid(0) not in groups
    wait_for("their end", lambda: not shell.left())
    assert "Traceback" not in (shell.lake / "_local/archive.log").read_text()


@pytest.mark.parametrize("stage", ["supervisor started", "tables made"])
def test_a_killed_demo_takes_broker_and_flow_along(shell: Shell, stage: str) -> None:
    with shell.start(*MANY) as process:
        wait_for(stage, lambda: STAGES[stage](shell))
        process.kill()
    wait_for("their end", lambda: not shell.left())


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("broker", "The broker died"),
        ("flow", "The flow archive ended with -9"),
        ("supervisor", "The process above broker and flow died"),
    ],
)
def test_what_dies_is_told_and_nothing_goes_on_running(
    shell: Shell, who: str, said: str
) -> None:
    with shell.start(*MANY) as process:
        assert process.stdout is not None
        assert "Kafka at" in process.stdout.readline()
        stack = stack_of(shell)
        pid = {
            "broker": stack["broker_pid"],
            "flow": stack["flows"]["archive"]["pid"],
            "supervisor": stack["pid"],
        }[who]
        psutil.Process(pid).kill()
        _, err = process.communicate(timeout=60)
    assert shell.left() == []
    assert process.returncode == 1
    assert said in err
    assert "_local" in err
    assert "Traceback" not in err


def test_a_closed_pipe_ends_the_demo_with_all_that_it_started(shell: Shell) -> None:
    with shell.start("demo", "--events", "1") as process:
        assert process.stdout is not None
        assert "Kafka at 127.0.0.1:" in process.stdout.readline()
        process.stdout.close()
        process.wait(60)
    assert shell.left() == []
    assert process.returncode == 1


def test_the_next_demo_stops_what_a_killed_supervisor_left(shell: Shell) -> None:
    with shell.start(*MANY) as process:
        wait_for("the flow", lambda: stack_of(shell).get("ready"))
        stack = stack_of(shell)
        process.send_signal(signal.SIGSTOP)
        psutil.Process(stack["pid"]).kill()
        wait_for("its end", lambda: len(shell.left()) == 3)
        process.kill()
    shell.run("demo", "--events", "1")
    assert shell.left() == []
