"""When the processes of a flow start again, when all end, and who is heard.

Small scripts stand for the processes; tests/flows/test_cluster.py has the real ones.
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
from semloop.command.stack.back_off import HEALTHY_S, PAUSES_S, BackOff
from semloop.command.stack.cluster import Cluster, free_addresses
from semloop.command.stack.member import OUTPUT_BYTES_MAX, Command, End, most_severe
from tests.processes import ROOT
from tests.services import wait_for

SLEEPS = "sys.stdin.read()"
PANICS = "say('thread panicked at src/run.rs'); sys.exit(6)"
TAKEN_OVER = "say('A newer copy took over.'); say('Look.'); sys.exit(3)"
MISTAKE = "say('No such topic.'); say('Make it.'); sys.exit(1)"
PRELUDE = """
import os, signal, sys
def say(text): print(text, file=sys.stderr, flush=True)
"""


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Signals and logs as they were: a cluster has the process for itself."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    structlog.reset_defaults()


class Script:
    """What the processes do in each round; notes which rounds were the first."""

    def __init__(self, *rounds: tuple[str, ...]) -> None:
        self.firsts: list[bool] = []
        self._rounds = list(rounds)

    def __call__(self, first: bool) -> list[Command]:
        self.firsts.append(first)
        return [
            Command([sys.executable, "-S", "-c", PRELUDE + code], os.environ)
            for code in self._rounds.pop(0)
        ]


def said(capfd: pytest.CaptureFixture[str]) -> str:
    return "".join(capfd.readouterr())


def test_it_ends_well_once_all_have_ended_well() -> None:
    script = Script(("pass", "pass", "pass"))
    assert Cluster(script).run() == 0
    assert script.firsts == [True]


@pytest.mark.parametrize(
    "death", ["os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(4)", PANICS]
)
def test_all_start_again_after_a_death_without_what_was_accepted_once(
    capfd: pytest.CaptureFixture[str], death: str
) -> None:
    script = Script((SLEEPS, death), ("pass", "pass"))
    assert Cluster(script).run() == 0
    assert script.firsts == [True, False]
    heard = said(capfd)
    assert "a process died, all start again" in heard
    assert "panicked" not in heard


@pytest.mark.parametrize("others", [PANICS, "sys.exit(4)"])
def test_taken_over_decides_whoever_ends_before(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    # However slow the machine is, all come to their own end.
    monkeypatch.setattr(cluster, "PEERS_END_S", 60.0)
    assert Cluster(Script((others, TAKEN_OVER, others))).run() == 3
    assert said(capfd) == "A newer copy took over.\nLook.\n"


def test_taken_over_ends_those_who_would_go_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert Cluster(Script((SLEEPS, TAKEN_OVER, SLEEPS))).run() == 3
    assert said(capfd) == "A newer copy took over.\nLook.\n"


def test_a_mistake_at_the_start_ends_all_and_is_said_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert Cluster(Script((MISTAKE, MISTAKE))).run() == 1
    assert said(capfd) == "No such topic.\nMake it.\n"


def test_later_it_is_said_and_all_start_again(
    capfd: pytest.CaptureFixture[str],
) -> None:
    script = Script((SLEEPS, "sys.exit(4)"), (MISTAKE,), ("pass",))
    assert Cluster(script).run() == 0
    assert "No such topic.\nMake it.\n" in said(capfd)
    assert script.firsts == [True, False, False]


def test_a_minute_after_the_start_it_is_no_mistake(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "USAGE_ERROR_S", 0.0)
    assert Cluster(Script((MISTAKE,), ("pass",))).run() == 0
    assert "No such topic.\nMake it.\n" in said(capfd)


def test_logs_pass_and_of_other_words_the_last_are_kept(
    capfd: pytest.CaptureFixture[str],
) -> None:
    chatters = "print('{\"event\": \"started\"}'); say('x' * 1_000_000); sys.exit(1)"
    assert Cluster(Script((chatters,))).run() == 1
    heard = said(capfd)
    assert heard.startswith('{"event": "started"}\n')
    assert heard.count("x") == OUTPUT_BYTES_MAX - 1


def test_debugging_shows_all_they_say_at_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    script = Script((PANICS,), (MISTAKE,), ("pass",))
    assert Cluster(script, live=True).run() == 0
    heard = said(capfd)
    assert "panicked" in heard
    assert heard.count("No such topic.") == 1


def test_what_the_machine_does_not_start_is_said_in_two_lines(
    capfd: pytest.CaptureFixture[str],
) -> None:
    missing = Cluster(lambda first: [Command(["/nowhere/at/all"], {})])
    assert missing.run() == 1
    assert said(capfd).startswith("Process 0 of the flow cannot be started: No such")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_whatever_ends_the_process_above_ends_all(
    number: signal.Signals, code: int
) -> None:
    script = """
        import sys
        from semloop.command.stack.cluster import Cluster
        from semloop.command.stack.member import Command
        writes = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
        command = Command([sys.executable, "-c", writes], {})
        sys.exit(Cluster(lambda first: [command] * 2).run())
    """
    above = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert above.stderr is not None
        members = [psutil.Process(int(above.stderr.readline())) for _ in range(2)]
        above.send_signal(number)
        _, rest = above.communicate(timeout=30)
        assert (above.returncode, rest) == (code, "")
        wait_for("their end", lambda: not any(_runs(member) for member in members))
    finally:
        above.kill()
        above.communicate()


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
def test_the_first_of_the_gravest_kind_decides(
    codes: tuple[int, ...], decides: int
) -> None:
    ends = [End(index, code) for index, code in enumerate(codes)]
    assert most_severe(ends).index == decides


def test_an_end_is_named_by_its_signal_or_its_code() -> None:
    assert End(0, -9).name == "SIGKILL"
    assert End(0, 4).name == "exit code 4"


def test_quick_deaths_wait_longer_and_longer_and_a_healthy_life_starts_over() -> None:
    back_off = BackOff()
    pauses = [back_off.pause_s(0.5) for _ in range(len(PAUSES_S) + 2)]
    assert pauses == [*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1]]
    assert back_off.pause_s(HEALTHY_S) == PAUSES_S[0]
    assert back_off.pause_s(0.5) == PAUSES_S[1]


def test_free_addresses_are_all_different() -> None:
    assert len(set(free_addresses(20))) == 20
