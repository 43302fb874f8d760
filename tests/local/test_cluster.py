"""When the processes of a flow restart, when all end, and which errors are printed.

Small scripts replace the processes; tests/flows/test_cluster.py runs the real ones.
"""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import psutil
import pytest
import structlog

from semloop.command.stack import cluster
from semloop.command.stack.back_off import (
    ENDED_PAUSE_S,
    HEALTHY_S,
    PAUSES_S,
    BackOff,
)
from semloop.command.stack.cluster import Cluster, free_addresses
from semloop.command.stack.member import OUTPUT_BYTES_MAX, Command, End, most_severe
from tests.support.processes import ROOT
from tests.support.services import wait_for

pytestmark = pytest.mark.process

SLEEPS = "sys.stdin.read()"
PANICS = "report('thread panicked at src/run.rs'); sys.exit(6)"
TAKEN_OVER = "report('A newer copy took over.'); report('See it.'); sys.exit(3)"
USAGE_ERROR = "report('No such topic.'); report('Create it.'); sys.exit(1)"
PRELUDE = """
import os, signal, sys
def report(text): print(text, file=sys.stderr, flush=True)
"""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Restore signal handlers and logging, which a cluster changes for its process."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    structlog.reset_defaults()


class Script:
    """The code of the processes in each start; records which start was the first."""

    def __init__(self, *rounds: tuple[str, ...]) -> None:
        self.firsts: list[bool] = []
        self._rounds = list(rounds)

    def __call__(self, first: bool) -> list[Command]:
        self.firsts.append(first)
        return [
            Command([sys.executable, "-S", "-c", PRELUDE + code], os.environ)
            for code in self._rounds.pop(0)
        ]


def output_of(capfd: pytest.CaptureFixture[str]) -> str:
    return "".join(capfd.readouterr())


def test_the_cluster_succeeds_when_all_processes_succeed() -> None:
    script = Script(("pass", "pass", "pass"))
    assert Cluster(script).run() == 0
    assert script.firsts == [True]


@pytest.mark.parametrize(
    "death", ["os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(4)", PANICS]
)
def test_a_death_restarts_all_without_the_flags_of_the_first_start(
    capfd: pytest.CaptureFixture[str], death: str
) -> None:
    script = Script((SLEEPS, death), ("pass", "pass"))
    assert Cluster(script).run() == 0
    assert script.firsts == [True, False]
    output = output_of(capfd)
    assert "process died, restarting all processes" in output
    assert "panicked" not in output


@pytest.mark.parametrize("others", [PANICS, "sys.exit(4)"])
def test_a_takeover_decides_the_exit_code_even_if_others_end_first(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    # Enough for all processes to exit by themselves on a slow machine.
    monkeypatch.setattr(cluster, "PEERS_END_S", 60.0)
    assert Cluster(Script((others, TAKEN_OVER, others))).run() == 3
    assert output_of(capfd) == "A newer copy took over.\nSee it.\n"


def test_a_takeover_of_one_process_ends_the_others(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert Cluster(Script((SLEEPS, TAKEN_OVER, SLEEPS))).run() == 3
    assert output_of(capfd) == "A newer copy took over.\nSee it.\n"


def test_an_error_of_the_first_start_ends_all_and_is_printed_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert Cluster(Script((USAGE_ERROR, USAGE_ERROR))).run() == 1
    assert output_of(capfd) == "No such topic.\nCreate it.\n"


def test_an_error_of_a_later_start_is_printed_and_all_restart(
    capfd: pytest.CaptureFixture[str],
) -> None:
    script = Script((SLEEPS, "sys.exit(4)"), (USAGE_ERROR,), ("pass",))
    assert Cluster(script).run() == 0
    assert "No such topic.\nCreate it.\n" in output_of(capfd)
    assert script.firsts == [True, False, False]


def test_an_error_a_minute_after_the_first_start_restarts_all(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "USAGE_ERROR_S", 0.0)
    assert Cluster(Script((USAGE_ERROR,), ("pass",))).run() == 0
    assert "No such topic.\nCreate it.\n" in output_of(capfd)


def test_stdout_is_forwarded_and_the_end_of_stderr_is_printed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = "print('{\"event\": \"started\"}'); report('x' * 1_000_000); sys.exit(1)"
    assert Cluster(Script((code,))).run() == 1
    output = output_of(capfd)
    assert output.startswith('{"event": "started"}\n')
    assert output.count("x") == OUTPUT_BYTES_MAX - 1


def test_a_live_cluster_prints_all_stderr_output_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    script = Script((PANICS,), (USAGE_ERROR,), ("pass",))
    assert Cluster(script, live=True).run() == 0
    output = output_of(capfd)
    assert "panicked" in output
    assert output.count("No such topic.") == 1


def test_a_process_that_cannot_be_started_is_reported(
    capfd: pytest.CaptureFixture[str],
) -> None:
    missing = Cluster(lambda first: [Command(["/nowhere/at/all"], {})])
    assert missing.run() == 1
    error = output_of(capfd)
    assert error.startswith("Process 0 of the flow cannot be started: No such")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_signal_that_ends_the_parent_ends_all_processes(
    number: signal.Signals, code: int
) -> None:
    script = """
        import sys
        from semloop.command.stack.cluster import Cluster
        from semloop.command.stack.member import Command
        code = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
        command = Command([sys.executable, "-c", code], {})
        sys.exit(Cluster(lambda first: [command] * 2).run())
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert parent.stderr is not None
        members = [psutil.Process(int(parent.stderr.readline())) for _ in range(2)]
        parent.send_signal(number)
        _, rest = parent.communicate(timeout=60)
        assert (parent.returncode, rest) == (code, "")
        wait_for(
            "the end of the members",
            lambda: not any(_runs(member) for member in members),
        )
    finally:
        parent.kill()
        parent.communicate()


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("codes", "decides"),
    [
        ((6, -9, 1), 1),
        ((0, 6), 1),
        ((1, 4, 6), 0),
        ((6, 4, 3), 2),
        ((-9, 6, 3, 3), 2),
        ((0, 0), 0),
    ],
)
def test_the_first_end_of_the_highest_severity_decides(
    codes: tuple[int, ...], decides: int
) -> None:
    ends = [End(index, code) for index, code in enumerate(codes)]
    assert most_severe(ends).index == decides


def test_an_end_is_named_by_its_signal_or_its_code() -> None:
    assert End(0, -9).name == "SIGKILL"
    assert End(0, 4).name == "exit code 4"


def test_pauses_grow_with_quick_deaths_and_reset_after_a_healthy_run() -> None:
    back_off = BackOff()
    pauses = [back_off.pause_s(0.5, 1) for _ in range(len(PAUSES_S) + 2)]
    assert pauses == [*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1]]
    assert back_off.pause_s(HEALTHY_S, 1) == PAUSES_S[0]
    assert back_off.pause_s(0.5, 1) == PAUSES_S[1]


@pytest.mark.parametrize("code", [-signal.SIGTERM, 143])
def test_pauses_stay_short_where_others_end_the_process(code: int) -> None:
    back_off = BackOff()
    pauses = [back_off.pause_s(0.5, code) for _ in range(10)]
    assert pauses == [0.0, *[ENDED_PAUSE_S] * 9]
    # It then dies by itself at each start.
    assert back_off.pause_s(0.5, -signal.SIGSEGV) == PAUSES_S[-1]


def test_pauses_grow_after_the_third_process_that_was_killed_at_its_start() -> None:
    back_off = BackOff()
    pauses = [back_off.pause_s(0.5, -signal.SIGKILL) for _ in range(5)]
    assert pauses == [0.0, ENDED_PAUSE_S, ENDED_PAUSE_S, *PAUSES_S[3:5]]


def test_free_addresses_are_all_different() -> None:
    assert len(set(free_addresses(20))) == 20
