"""Logs what the sending thread finds, in a thread of its own.

Handlers and filters of the host's logs may raise, exit, emit, fork, and wait
indefinitely; the thread that sends waits for none of that. `logging` also enters the
threads that it does not know into `threading.enumerate()`, and a program that joins all
threads would fail; so a thread of `threading` logs, which another thread starts.
"""

import _thread
import contextlib
import logging
import os
import threading
from collections import deque

log = logging.getLogger("semloop")
# Lines that wait for a handler; there are few, since each is logged once.
LINES_MAX = 100


class _Lines:
    """Lines to log, and the lock that the thread has that logs them; of a process."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[str, tuple[object, ...]]] = deque(maxlen=LINES_MAX)
        self.logging = _thread.allocate_lock()
        self.thread_id = 0
        self.pid = os.getpid()


class _Process:
    """What this process has to log."""

    lines = _Lines()


def warn(text: str, *arguments: object) -> None:
    """Log a warning soon; lines are logged one after the other."""
    lines = _own_lines()
    lines.waiting.append((text, arguments))
    _start(lines)


def wait_logged(timeout_s: float) -> None:
    """Wait until all lines are logged, for the end of the process, up to a time."""
    lines = _own_lines()
    if _thread.get_ident() == lines.thread_id:
        return
    if not _start(lines) and lines.logging.acquire(blocking=False):
        _log(lines)
    elif lines.logging.acquire(timeout=max(0.0, timeout_s)):
        lines.logging.release()
        _start(lines)  # a line that was added meanwhile


def _start(lines: _Lines) -> bool:
    """Start a thread if there are lines and it does not run; False if that fails."""
    if not lines.waiting or not lines.logging.acquire(blocking=False):
        return True
    try:
        # Starting a thread of `threading` waits for that thread.
        _thread.start_new_thread(_launch, (lines,))
    except RuntimeError:  # no more threads, or the interpreter exits
        lines.logging.release()
        return False
    return True


def _launch(lines: _Lines) -> None:
    try:
        threading.Thread(target=_log, args=(lines,), daemon=True).start()
    except BaseException:  # no more threads, or what the host has made of `Thread`
        lines.logging.release()


def _log(lines: _Lines) -> None:
    lines.thread_id = _thread.get_ident()
    while lines.waiting:
        text, arguments = lines.waiting.popleft()
        with contextlib.suppress(BaseException):
            log.warning(text, *arguments)
    lines.thread_id = 0
    lines.logging.release()
    _start(lines)  # a line that was added after the last look


def _own_lines() -> _Lines:
    """Return the lines of this process; in a forked child, the parent's are forgotten.

    They are cleared, since a handler of the parent's may have forked and continue here.
    """
    lines = _Process.lines
    if lines.pid != os.getpid():
        lines.waiting.clear()
        lines = _Process.lines = _Lines()
    return lines


os.register_at_fork(after_in_child=_own_lines)
