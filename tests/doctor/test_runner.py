"""Isolation of checks: none can end or delay the others."""

import threading
from collections.abc import Iterator
from importlib import import_module
from typing import NoReturn

import pytest

from semloop.command.doctor import CHECKS, Finding, Skipped, State, ok
from semloop.command.doctor.context import CheckContext
from semloop.command.doctor.runner import CheckRunner
from semloop.errors import LakeError

NAME = "tested"
GATE = threading.Event()
REMOVED: list[str] = []


class Panic(BaseException):
    """A BaseException such as Rust libraries raise."""


def raises_our_error(context: CheckContext) -> Iterator[Finding]:
    yield ok(NAME, "first")
    msg = "What happened."
    raise LakeError(msg, "What to do.")


def raises_another_error(context: CheckContext) -> NoReturn:
    msg = "user message: my card is 4111"
    raise ValueError(msg)


def panics(context: CheckContext) -> NoReturn:
    raise Panic


def skipped(context: CheckContext) -> NoReturn:
    msg = "Not here."
    raise Skipped(msg, "Go there.")


def lacks_a_package(context: CheckContext) -> NoReturn:
    msg = "No module named 'psutil'"
    raise ModuleNotFoundError(msg, name="psutil")


def hangs(context: CheckContext) -> Iterator[Finding]:
    yield ok(NAME, "first")
    GATE.wait()
    REMOVED.append("probe")


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> list[Finding]:
    monkeypatch.setitem(CHECKS, NAME, f"{__name__}:{request.param}")
    with CheckRunner(CheckContext()) as runner:
        return runner.run(NAME)


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_can_be_imported(name: str) -> None:
    module, _, function = CHECKS[name].partition(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize(
    ("run", "state", "found", "todo"),
    [
        ("raises_our_error", State.FAIL, "What happened.", "What to do."),
        ("raises_another_error", State.FAIL, "Unexpected ValueError at test_runner.py:", "Report this line"),
        ("panics", State.FAIL, "Unexpected Panic at test_runner.py:", "Report this line"),
        ("skipped", State.SKIP, "Not here.", "Go there."),
        ("lacks_a_package", State.FAIL, "The package 'psutil' is not installed.", "pip install -c constraints.txt"),
    ],
    indirect=["run"],
)  # fmt: skip
def test_an_error_of_a_check_becomes_a_finding(
    run: list[Finding], state: State, found: str, todo: str
) -> None:
    assert (run[-1].check, run[-1].state) == (NAME, state)
    assert found in run[-1].found
    assert todo in run[-1].todo
    assert "4111" not in str(run)


@pytest.mark.parametrize("run", ["raises_our_error"], indirect=True)
def test_findings_before_an_error_are_kept(run: list[Finding]) -> None:
    assert [f.found for f in run] == ["first", "What happened."]


def test_a_hanging_check_times_out_and_is_awaited_on_exit_for_its_cleanup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(CHECKS, NAME, f"{__name__}:hangs")
    monkeypatch.setitem(CHECKS, "next", f"{__name__}:skipped")
    GATE.clear()
    REMOVED.clear()
    with CheckRunner(CheckContext(), timeout_s=1.0) as runner:
        found = runner.run(NAME)
        assert [f.state for f in found] == [State.OK, State.FAIL]
        assert found[1].found == "Timed out after 1 s."
        assert runner.run("next")[0].state is State.SKIP
        assert REMOVED == []
        GATE.set()
    assert REMOVED == ["probe"]


def test_the_runner_waits_on_exit_at_most_for_the_cleanup_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(CHECKS, NAME, f"{__name__}:hangs")
    GATE.clear()
    REMOVED.clear()
    with CheckRunner(CheckContext(), timeout_s=1.0, clean_up_s=0.1) as runner:
        runner.run(NAME)
    assert REMOVED == []
    GATE.set()
