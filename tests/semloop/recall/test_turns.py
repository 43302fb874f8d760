"""Few threads compute at the same time, and none waits longer than those before it."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import pytest

from semloop.lake.recall.resident.follower import RECALLS_BEFORE
from semloop.lake.recall.turns import CallingThread, Turns
from tests.semloop.recall.a_memory_lake import a_memory_lake, a_message
from tests.support.services import wait_for


class Interrupted(Exception):
    """A signal has come."""


@contextmanager
def in_turn(turns: Turns) -> Iterator[None]:
    """Let another thread have a turn meanwhile."""
    began, end = threading.Event(), threading.Event()

    def hold() -> None:
        with turns.turn():
            began.set()
            assert end.wait(60)

    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(hold)
        assert began.wait(60)
        try:
            yield
        finally:
            end.set()
        held.result()


def waits_for_turns(turns: Turns, count: int) -> None:
    wait_for(f"{count} threads wait", lambda: len(turns._waiting) == count)


def test_threads_come_in_the_order_in_which_they_asked() -> None:
    turns, order = Turns(1), list[int]()

    def come(number: int) -> None:
        with turns.turn():
            order.append(number)

    with ThreadPoolExecutor(5) as threads, in_turn(turns):
        for number in range(5):
            threads.submit(come, number)
            waits_for_turns(turns, number + 1)
        assert not order
    assert order == list(range(5))


def test_as_many_have_a_turn_as_there_are() -> None:
    turns, came = Turns(2), threading.Event()

    def come() -> None:
        with turns.turn():
            came.set()

    with ThreadPoolExecutor(1) as threads, in_turn(turns):
        with in_turn(turns):
            threads.submit(come)
            waits_for_turns(turns, 1)
            assert not came.is_set()
        assert came.wait(60)


def test_a_thread_knows_whether_it_is_alone() -> None:
    turns = Turns(2)
    with turns.turn() as first, turns.turn() as second:
        assert (first, second) == (True, False)
    with turns.turn() as again:
        assert again


def test_an_error_ends_a_turn() -> None:
    turns, alone = Turns(1), list[bool]()

    def fail() -> None:
        with turns.turn() as is_alone:
            alone.append(is_alone)
            raise Interrupted

    for _ in range(2):
        with pytest.raises(Interrupted):
            fail()
    assert alone == [True, True]


def test_a_thread_that_is_interrupted_does_not_come_any_more() -> None:
    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise Interrupted

    def send(turns: Turns) -> None:
        waits_for_turns(turns, 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    turns = Turns(1)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with ThreadPoolExecutor(1) as threads, in_turn(turns):
            sent = threads.submit(send, turns)
            with pytest.raises(Interrupted), turns.turn():
                pytest.fail("another thread had the only turn")
            sent.result()
            assert not turns._waiting
    finally:
        signal.signal(signal.SIGUSR1, before)
    with turns.turn() as is_alone:
        assert is_alone


def test_only_recalls_in_memory_take_turns(tmp_path: Path) -> None:
    lake = a_memory_lake(tmp_path / "lake", a_message("The refund was refused.", "e1"))
    with lake.open() as opened, ThreadPoolExecutor(1) as threads, ExitStack() as held:
        engine = opened._recall_engine()
        turns = engine._turns = Turns(2)
        for _ in range(2):
            held.enter_context(in_turn(turns))
        for _ in range(RECALLS_BEFORE):
            from_storage = opened.recall("refund")
        engine.resident.wait()
        asked = threads.submit(opened.recall, "refund")
        waits_for_turns(turns, 1)
        assert not asked.done()
        held.close()
        assert asked.result().equals(from_storage)


def test_the_calling_thread_does_the_work_itself() -> None:
    caller = CallingThread()
    done: Future[int] = caller.submit(threading.get_ident)
    assert done.result() == threading.get_ident()
    failing: Callable[[], float] = lambda: 1 / 0  # noqa: E731
    with pytest.raises(ZeroDivisionError):
        caller.submit(failing).result()
