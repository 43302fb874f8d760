"""Wakes a thread by releasing a lock, which code can do at any moment.

`threading.Event` and `Condition` take locks: a signal handler that sets an event waits
forever if it has interrupted the code that sets the same one.
"""

import _thread


class Alarm:
    """Wakes one thread."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake the thread that waits, or that waits next."""
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:
                return  # another thread has rung

    def wait(self, timeout_s: float) -> bool:
        """Wait until the alarm rings; False after the timeout.

        NaN and negative numbers do not wait.
        """
        if not timeout_s > 0:
            return self._lock.acquire(blocking=False)
        return self._lock.acquire(timeout=min(timeout_s, _thread.TIMEOUT_MAX))
