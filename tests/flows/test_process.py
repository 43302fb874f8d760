"""How the process of a flow ends: its words and its exit code."""

import json
import socket
import subprocess
import sys
import textwrap

import pytest

from flows.guard import exit_on_error
from semloop.kafka.topic import Topic
from semloop.settings import Settings
from tests import processes
from tests.processes import ROOT
from tests.services import free_port

PRELUDE = """
import os, sys
from flows import guard
from flows.guard import exit_on_error
from semloop import errors

@exit_on_error
def step(error):
    if error is not None:
        raise error
    return "fine"
"""
HIDDEN = "ann.lee@example.com"


def run(code: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, since it is the process that ends."""
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("LakeError", 1),
        ("StorageUnavailable", 1),
        ("TakenOver", 3),
        ("TopicChanged", 4),
    ],
)
def test_an_error_of_ours_says_its_two_lines_and_has_its_own_exit_code(
    name: str, code: int
) -> None:
    done = run(f"step(errors.{name}('It broke.', 'Mend it.')); print('went on')")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "It broke.\nMend it.\n"


def test_an_unexpected_error_says_kind_and_place_and_not_its_text() -> None:
    done = run(
        f"""
        import json
        try:
            json.loads('["{HIDDEN}')
        except ValueError as error:
            step(error)
        """
    )
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("Unexpected JSONDecodeError at decoder.py:")
    assert first.endswith("; nothing is lost.")
    assert "SEMLOOP_DEBUG=1" in second
    assert HIDDEN not in done.stderr


def test_debug_shows_the_traceback_before_the_lines() -> None:
    done = run(f"guard._debug = True; step(ValueError('{HIDDEN}'))")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert f"ValueError: {HIDDEN}" in done.stderr
    assert done.stderr.splitlines()[-2].startswith("Unexpected ValueError at ")


def test_debug_keeps_the_lines_and_the_code_of_an_error_of_ours() -> None:
    done = run("guard._debug = True; step(errors.TakenOver('Gone.', 'Look.'))")
    assert done.returncode == 3
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("\nGone.\nLook.\n")


def test_nothing_else_runs_once_the_process_ends() -> None:
    done = run(
        """
        import atexit
        atexit.register(print, "at exit")
        try:
            step(errors.LakeError("It broke.", "Mend it."))
        finally:
            print("finally")
        """
    )
    assert (done.returncode, done.stdout) == (1, "")


def test_an_error_in_a_thread_ends_the_whole_process() -> None:
    done = run(
        """
        import threading
        thread = threading.Thread(target=step, args=(errors.TakenOver("Gone.", "Look."),))
        thread.start()
        thread.join()
        print("went on")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "Gone.\nLook.\n")


def test_an_error_inside_a_running_flow_keeps_its_code() -> None:
    done = run(
        """
        import bytewax.operators as op
        from bytewax.dataflow import Dataflow
        from bytewax.testing import TestingSink, TestingSource, run_main
        flow = Dataflow("f")
        items = op.input("in", flow, TestingSource([errors.TopicChanged("New.", "Go.")]))
        op.output("out", op.map("step", items, step), TestingSink([]))
        run_main(flow)
        """
    )
    assert (done.returncode, done.stderr) == (4, "New.\nGo.\n")


def test_the_end_of_input_is_no_error() -> None:
    done = run(
        """
        try:
            step(StopIteration())
        except StopIteration:
            print("went on")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


def test_a_step_that_goes_well_is_left_as_it_is() -> None:
    @exit_on_error
    def double(number: int) -> int:
        """Twice as much."""
        return 2 * number

    assert (double(21), double.__name__, double.__doc__) == (
        42,
        "double",
        "Twice as much.",
    )


CLUSTER = """
import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource
from schemas.metrics import Metrics
from semloop.settings import load
flow = Dataflow("f")
items = op.input("in", flow, TestingSource([None]))
op.output("out", op.map("step", items, step), TestingSink([]))
def run(addresses):
    guard.run(flow, load({}), Metrics(), addresses)
"""


def test_a_process_of_several_keeps_its_logs_apart_from_all_else() -> None:
    address = f"127.0.0.1:{free_port()}"
    done = run(f"{CLUSTER}\nrun(['{address}'])\nprint('as Bytewax does')")
    assert (done.returncode, done.stderr) == (0, "as Bytewax does\n")
    logs = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in logs] == ["started", "ended"]


def test_what_bytewax_raises_among_several_processes_is_the_loss_of_a_peer() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run(f"{CLUSTER}\nrun(['{address}', '127.0.0.1:1'])")
    assert done.returncode == 6
    assert done.stderr.endswith("Another process ended.\nStart all of them again.\n")


def test_a_taken_metrics_port_is_told(settings: Settings, topic: Topic) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = processes.run(settings, "run", "archive", SEMLOOP_METRICS_PORT=port)
    assert done.returncode == 1
    assert done.stderr == (
        f"Metrics port {port} is not free: Address already in use.\n"
        "Set SEMLOOP_METRICS_PORT to another one.\n"
    )
