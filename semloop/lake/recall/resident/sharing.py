"""Divides work between the calling thread and one that is free."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

Result = TypeVar("Result")


def shared(
    work: Callable[[int], Result], count: int, threads: Executor | None
) -> list[Result]:
    """Return `work` of each number below `count`, in order.

    The caller waits for no thread that has not begun: with all of them busy, it does
    everything itself.

    Args:
        work: safe in threads.
        count: how many pieces.
        threads: one of them helps, if it is free; None: no help.
    """
    found: dict[int, Result] = {}
    # Taking the next number is atomic.
    numbers = iter(range(count))

    def take() -> None:
        for number in numbers:
            found[number] = work(number)

    helper = threads.submit(take) if threads is not None and count > 1 else None
    try:
        take()
    finally:
        if helper is not None and not helper.cancel():
            helper.result()
    return [found[number] for number in range(count)]
