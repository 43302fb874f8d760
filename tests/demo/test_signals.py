"""A signal ends the block, even if a library catches or replaces the exit."""

import os
import signal
from collections.abc import Iterator

import pytest

from semloop.command.demo.signals import Signals

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _restore_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", NUMBERS, ids=str)
def test_a_signal_exits_with_128_plus_its_number(number: int) -> None:
    with pytest.raises(SystemExit) as exit_, Signals():
        send(number)
    assert exit_.value.code == 128 + number


def test_an_error_by_which_a_library_replaces_the_exit_is_suppressed() -> None:
    def library() -> None:
        try:
            send(signal.SIGTERM)
        except SystemExit:
            msg = "Query interrupted"
            raise RuntimeError(msg) from None

    with pytest.raises(SystemExit) as exit_, Signals():
        library()
    assert exit_.value.code == 128 + signal.SIGTERM


def test_check_exits_again_if_a_library_swallowed_the_exit() -> None:
    with Signals() as signals:
        with pytest.raises(SystemExit):
            send(signal.SIGTERM)
        with pytest.raises(SystemExit):
            signals.check()


def test_a_deferred_block_is_finished_before_the_exit() -> None:
    done = []

    def work() -> None:
        send(signal.SIGINT)
        done.append("everything")

    with pytest.raises(SystemExit), Signals() as signals, signals.deferred():
        work()
    assert done == ["everything"]


def test_an_error_of_the_block_is_raised() -> None:
    with pytest.raises(ValueError, match="invalid literal"), Signals():
        int("not a number")


def test_a_signal_ignored_by_nohup_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Signals():
        send(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
