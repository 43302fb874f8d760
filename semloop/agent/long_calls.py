"""Reports tool calls that run for long, so that they can be seen while they run.

One thread serves all calls of the process. It exists while there are calls, and no call
waits for it or wakes it: the dict's own operations are atomic, so a signal handler or a
finalizer may begin and end calls at any moment.
"""

import _thread
import os
import time
from contextlib import suppress
from typing import Protocol

# Bounds of the pause between two looks at the calls.
PAUSE_MIN_S, PAUSE_MAX_S = 0.1, 1.0


class Running(Protocol):
    """A call; compared by identity, so that the dict runs no code of it."""

    def report(self) -> None:
        """Record that it runs; called in the thread of `LongCalls`."""
        ...


class LongCalls:
    """The calls that run, and when each of them is to be reported."""

    def __init__(self) -> None:
        self._due_s: dict[Running, float] = {}
        self._thread: object | None = None
        os.register_at_fork(after_in_child=self._forget)

    def add(self, call: Running, due_s: float) -> None:
        """Report a call once, at a time of `time.perf_counter`, if it still runs."""
        self._due_s[call] = due_s
        if self._thread is None:
            self._thread = object()
            try:
                # Not `threading.Thread`: programs join all those that they find.
                _thread.start_new_thread(self._run, ())
            except RuntimeError:  # no more threads, or the interpreter is ending
                self._thread = None
            except BaseException:
                self._thread = None
                raise

    def remove(self, call: Running) -> None:
        """Forget a call, which has ended."""
        self._due_s.pop(call, None)

    def _run(self) -> None:
        pause_s = 0.0
        while self._due_s or not self._ends():
            time.sleep(pause_s)
            calls, now_s = self._due_s.copy(), time.perf_counter()
            for call, due_s in calls.items():
                # Its end removes a call, too: only one of both finds it.
                if due_s <= now_s and self._due_s.pop(call, None) is not None:
                    _report(call)
            next_s = min(self._due_s.copy().values(), default=now_s) - now_s
            pause_s = min(max(next_s, PAUSE_MIN_S), PAUSE_MAX_S)

    def _ends(self) -> bool:
        """Return True if this thread may end: no call has begun meanwhile."""
        self._thread = None
        if not self._due_s or self._thread is not None:
            return True
        self._thread = object()
        return False

    def _forget(self) -> None:
        """Reset a forked child: its parent reports the calls."""
        self._due_s.clear()
        self._thread = None


def _report(call: Running) -> None:
    with suppress(BaseException):  # of foreign code; the other calls need the thread
        call.report()


long_calls = LongCalls()
