"""Logs what the sending thread finds, in a thread of its own.

Handlers and filters of the host's logs may raise, exit, wait, emit and fork; the thread
that sends must not do any of that. `logging` also enters the threads that it does not
know into `threading.enumerate()`, and a program that joins all threads would fail.
"""

import _thread
import contextlib
import logging
import threading

log = logging.getLogger("semloop")
# Usually the line is logged before the caller continues.
WAIT_S = 1.0


def warn(text: str, *arguments: object) -> None:
    """Log a warning, and wait for the handlers of the log, but not long."""
    logged = _thread.allocate_lock()
    logged.acquire()
    try:
        threading.Thread(
            target=_log, args=(logged, text, arguments), daemon=True
        ).start()
    except RuntimeError:  # no more threads, or the interpreter exits
        return
    # Not `join`: it enters the calling thread, too.
    logged.acquire(timeout=WAIT_S)


def _log(logged: _thread.LockType, text: str, arguments: tuple[object, ...]) -> None:
    with contextlib.suppress(BaseException):
        log.warning(text, *arguments)
    logged.release()
