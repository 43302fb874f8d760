"""How the process of a flow ends: its messages and exit codes."""

import json
import socket
import subprocess
import sys
import textwrap

import pytest

from flows.guard import exit_on_error
from semloop.kafka.topic import Topic
from semloop.settings import Settings
from tests.support import processes
from tests.support.processes import ROOT
from tests.support.services import free_port

pytestmark = pytest.mark.process

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
    """Run code after PRELUDE in a subprocess, because the step ends its process."""
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
def test_semloop_error_prints_two_lines_and_exits_with_its_own_code(
    name: str, code: int
) -> None:
    done = run(f"step(errors.{name}('It broke.', 'Fix it.')); print('continued')")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "It broke.\nFix it.\n"


def test_unexpected_error_prints_its_type_and_location_but_not_its_text() -> None:
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
    assert first.endswith("; no events were lost.")
    assert "SEMLOOP_DEBUG=1" in second
    assert HIDDEN not in done.stderr


def test_debug_mode_prints_the_traceback_before_the_two_lines() -> None:
    done = run(f"guard._debug = True; step(ValueError('{HIDDEN}'))")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert f"ValueError: {HIDDEN}" in done.stderr
    assert done.stderr.splitlines()[-2].startswith("Unexpected ValueError at ")


def test_debug_mode_keeps_the_two_lines_and_the_exit_code_of_a_semloop_error() -> None:
    done = run("guard._debug = True; step(errors.TakenOver('Gone.', 'Look.'))")
    assert done.returncode == 3
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("\nGone.\nLook.\n")


def test_failed_step_exits_without_atexit_handlers_or_finally_blocks() -> None:
    done = run(
        """
        import atexit
        atexit.register(print, "at exit")
        try:
            step(errors.LakeError("It broke.", "Fix it."))
        finally:
            print("finally")
        """
    )
    assert (done.returncode, done.stdout) == (1, "")


def test_failed_step_in_a_thread_ends_the_process() -> None:
    done = run(
        """
        import threading
        thread = threading.Thread(target=step, args=(errors.TakenOver("Gone.", "Look."),))
        thread.start()
        thread.join()
        print("continued")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "Gone.\nLook.\n")


def test_failed_step_in_a_bytewax_flow_keeps_its_exit_code() -> None:
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


def test_stop_iteration_passes_through_a_step() -> None:
    done = run(
        """
        try:
            step(StopIteration())
        except StopIteration:
            print("continued")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "continued\n", "")


def test_exit_on_error_keeps_the_result_name_and_docstring_of_a_step() -> None:
    @exit_on_error
    def double(number: int) -> int:
        """Twice the number."""
        return 2 * number

    assert (double(21), double.__name__, double.__doc__) == (
        42,
        "double",
        "Twice the number.",
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


def test_process_of_a_cluster_writes_only_logs_to_standard_output() -> None:
    address = f"127.0.0.1:{free_port()}"
    done = run(f"{CLUSTER}\nrun(['{address}'])\nprint('as Bytewax does')")
    assert (done.returncode, done.stderr) == (0, "as Bytewax does\n")
    logs = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in logs] == ["started", "ended"]


def test_bytewax_panic_in_a_cluster_is_reported_as_a_lost_peer() -> None:
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        address = f"127.0.0.1:{occupied.getsockname()[1]}"
        done = run(f"{CLUSTER}\nrun(['{address}', '127.0.0.1:1'])")
    assert done.returncode == 6
    assert done.stderr.endswith(
        "Another process of this flow ended.\nStart all processes of the flow again.\n"
    )


def test_occupied_metrics_port_is_reported_in_two_lines(
    settings: Settings, topic: Topic
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = processes.run(settings, "run", "archive", SEMLOOP_METRICS_PORT=port)
    assert done.returncode == 1
    assert done.stderr == (
        f"Metrics port {port} is unavailable: Address already in use.\n"
        "Set SEMLOOP_METRICS_PORT to a free port.\n"
    )
