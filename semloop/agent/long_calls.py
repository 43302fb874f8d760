"""Reports tool calls that run for long, so that they can be seen while they run.

One thread serves all calls of the process. It exists while there are calls, and no call
waits for it or wakes it: the dict's own operations are atomic, so a signal handler or a
finalizer may begin and end calls at any moment.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

# Bounds of the pause between two looks at the calls.
PAUSE_MIN_S, PAUSE_MAX_S = 0.1, 1.0
# Reports a call, in the thread.
Report = Callable[[], None]


class LongCalls:
    """The calls that run, and when each of them is to be reported."""

    def __init__(self) -> None:
        self._due_s: dict[Report, float] = {}
        self._thread: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._forget)

    def add(self, report: Report, after_s: float) -> None:
        """Call `report` once after a time, unless it is removed before."""
        self._due_s[report] = time.monotonic() + after_s
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="semloop-calls", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError:  # no more threads, or the interpreter is ending
                self._thread = None

    def remove(self, report: Report) -> None:
        """Forget a call, which has ended."""
        self._due_s.pop(report, None)

    def _run(self) -> None:
        pause_s = 0.0
        while self._due_s or not self._ends():
            time.sleep(pause_s)
            calls, now_s = self._due_s.copy(), time.monotonic()
            for report, due_s in calls.items():
                # Its end removes a call, too: only one of both finds it.
                if due_s <= now_s and self._due_s.pop(report, None) is not None:
                    _call(report)
            next_s = min(self._due_s.copy().values(), default=now_s) - now_s
            pause_s = min(max(next_s, PAUSE_MIN_S), PAUSE_MAX_S)

    def _ends(self) -> bool:
        """Return True if this thread may end: no call has begun meanwhile."""
        self._thread = None
        if not self._due_s or self._thread is not None:
            return True
        self._thread = threading.current_thread()
        return False

    def _forget(self) -> None:
        """Reset a forked child: its parent reports the calls."""
        self._due_s.clear()
        self._thread = None


def _call(report: Report) -> None:
    with suppress(BaseException):  # of foreign code; the other calls need the thread
        report()


long_calls = LongCalls()
