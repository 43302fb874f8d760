"""One check can neither end nor hold up the others."""

import threading
from collections.abc import Iterator
from importlib import import_module
from typing import NoReturn

import pytest

from semloop.command.doctor import CHECKS, Finding, Skipped, State, ok
from semloop.command.doctor.context import Known
from semloop.command.doctor.examination import Examination
from semloop.errors import LakeError

NAME = "tried"
GATE = threading.Event()
REMOVED: list[str] = []


class Panic(BaseException):
    """As Rust libraries raise it."""


def ours(known: Known) -> Iterator[Finding]:
    yield ok(NAME, "first")
    msg = "What happened."
    raise LakeError(msg, "What to do.")


def other(known: Known) -> NoReturn:
    msg = "booker said: my card is 4111"
    raise ValueError(msg)


def panics(known: Known) -> NoReturn:
    raise Panic


def skipped(known: Known) -> NoReturn:
    msg = "Not here."
    raise Skipped(msg, "Go there.")


def package(known: Known) -> NoReturn:
    msg = "No module named 'psutil'"
    raise ModuleNotFoundError(msg, name="psutil")


def hangs(known: Known) -> Iterator[Finding]:
    yield ok(NAME, "first")
    GATE.wait()
    REMOVED.append("probe")


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> list[Finding]:
    monkeypatch.setitem(CHECKS, NAME, f"{__name__}:{request.param}")
    with Examination(Known()) as examination:
        return examination.run(NAME)


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_can_be_found(name: str) -> None:
    module, _, function = CHECKS[name].partition(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize(
    ("run", "state", "found", "todo"),
    [
        ("ours", State.FAIL, "What happened.", "What to do."),
        ("other", State.FAIL, "Unexpected ValueError at test_examination.py:", "Report it"),
        ("panics", State.FAIL, "Unexpected Panic at test_examination.py:", "Report it"),
        ("skipped", State.SKIP, "Not here.", "Go there."),
        ("package", State.FAIL, "The package 'psutil' is not installed.", "pip install 'semloop[all]'"),
    ],
    indirect=["run"],
)  # fmt: skip
def test_what_a_check_raises_is_a_finding(
    run: list[Finding], state: State, found: str, todo: str
) -> None:
    assert (run[-1].check, run[-1].state) == (NAME, state)
    assert found in run[-1].found
    assert todo in run[-1].todo
    assert "4111" not in str(run)


@pytest.mark.parametrize("run", ["ours"], indirect=True)
def test_what_was_found_before_an_error_is_kept(run: list[Finding]) -> None:
    assert [f.found for f in run] == ["first", "What happened."]


def test_a_check_that_hangs_is_given_up_and_may_clean_up_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(CHECKS, NAME, f"{__name__}:hangs")
    monkeypatch.setitem(CHECKS, "next", f"{__name__}:skipped")
    GATE.clear()
    REMOVED.clear()
    with Examination(Known(), bound_s=0.1) as examination:
        found = examination.run(NAME)
        assert [f.state for f in found] == [State.OK, State.FAIL]
        assert found[1].found == "Not done within 0.1 s."
        assert examination.run("next")[0].state is State.SKIP
        assert REMOVED == []
        GATE.set()
    assert REMOVED == ["probe"]


def test_it_waits_for_late_checks_for_so_long_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(CHECKS, NAME, f"{__name__}:hangs")
    GATE.clear()
    REMOVED.clear()
    with Examination(Known(), bound_s=0.1, clean_up_s=0.1) as examination:
        examination.run(NAME)
    assert REMOVED == []
    GATE.set()
