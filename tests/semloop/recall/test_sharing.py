"""Work that two threads divide."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from semloop.lake.recall.resident.sharing import shared


def test_results_are_in_order_and_a_free_thread_helps() -> None:
    both = threading.Barrier(2)
    workers = set()

    def work(number: int) -> int:
        if number < 2:
            # Both threads have begun, or this waits in vain.
            both.wait(timeout=60)
        workers.add(threading.get_ident())
        return number * number

    with ThreadPoolExecutor(1) as threads:
        assert shared(work, 50, threads) == [n * n for n in range(50)]
    assert len(workers) == 2


def test_without_a_free_thread_the_caller_does_everything() -> None:
    done = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(done.wait)
        try:
            here = threading.get_ident()
            assert shared(lambda _: threading.get_ident(), 9, threads) == [here] * 9
        finally:
            done.set()
    assert shared(str, 2, None) == ["0", "1"]


@pytest.mark.parametrize("bad", [0, 7])
def test_an_error_of_either_thread_is_raised(bad: int) -> None:
    def work(number: int) -> int:
        return 1 // (number - bad)

    with ThreadPoolExecutor(1) as threads, pytest.raises(ZeroDivisionError):
        shared(work, 9, threads)
