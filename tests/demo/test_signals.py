"""A signal ends the block, whatever a library makes of it."""

import os
import signal
from collections.abc import Iterator

import pytest

from semloop.command.demo.signals import Signals

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", NUMBERS, ids=str)
def test_a_signal_leaves_by_the_code_of_a_shell(number: int) -> None:
    with pytest.raises(SystemExit) as exit_, Signals():
        send(number)
    assert exit_.value.code == 128 + number


def test_an_error_that_a_library_makes_of_the_exit_is_not_told() -> None:
    def library() -> None:
        try:
            send(signal.SIGTERM)
        except SystemExit:
            msg = "Query interrupted"
            raise RuntimeError(msg) from None

    with pytest.raises(SystemExit) as exit_, Signals():
        library()
    assert exit_.value.code == 128 + signal.SIGTERM


def test_an_exit_that_a_library_swallows_is_made_up_for() -> None:
    with Signals() as signals:
        with pytest.raises(SystemExit):
            send(signal.SIGTERM)
        with pytest.raises(SystemExit):
            signals.check()


def test_what_is_held_is_finished_first() -> None:
    done = []

    def work() -> None:
        send(signal.SIGINT)
        done.append("all of it")

    with pytest.raises(SystemExit), Signals() as signals, signals.held():
        work()
    assert done == ["all of it"]


def test_an_error_of_its_own_is_told() -> None:
    with pytest.raises(ValueError, match="invalid literal"), Signals():
        int("no number")


def test_what_nohup_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Signals():
        send(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
