"""Bounds how many threads compute at the same time, first come, first served."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from threading import Lock
from typing import Any


class Turns:
    """Lets some threads compute while others wait for their turn.

    numpy and Arrow give the interpreter lock away hundreds of times in a recall. If
    more threads than processors want it, each of these times is a change of threads.

    Args:
        count: how many compute at the same time.
    """

    def __init__(self, count: int) -> None:
        self._lock = Lock()
        self._free = self._count = count
        self._waiting: deque[Lock] = deque()

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Wait for a turn; the value is True if no other thread has one."""
        is_alone = self._begin()
        try:
            yield is_alone
        finally:
            self._end()

    def _begin(self) -> bool:
        with self._lock:
            if self._free:
                self._free -= 1
                return self._free == self._count - 1
            called = Lock()
            called.acquire()
            self._waiting.append(called)
        try:
            called.acquire()
        except BaseException:
            # Interrupted: the turn may have come meanwhile.
            with self._lock:
                is_waiting = called in self._waiting
                if is_waiting:
                    self._waiting.remove(called)
            if not is_waiting:
                self._end()
            raise
        return False

    def _end(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class CallingThread(Executor):
    """Does what another thread could do in the thread that asks for it."""

    def submit(  # type: ignore[override]
        self, work: Callable[..., Any], /, *arguments: Any
    ) -> Future[Any]:
        """Return the result as a future, or the error."""
        done: Future[Any] = Future()
        try:
            done.set_result(work(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done
