"""Signals arrive while the program emits: handlers emit, flush, log and raise."""

import contextlib
import os
import signal
import threading
import time
from types import FrameType

from tests.sdk.hosts.host import agent, emit, rng


class Interrupt(Exception):
    """Raised by a handler."""


def emits(_: int, __: FrameType | None) -> None:
    """Handle a signal: emit."""
    emit()
    # A refused event takes the path that logs.
    agent().session(object()).state_change("refused")


def raises(_: int, __: FrameType | None) -> None:
    """Handle a signal: raise."""
    raise Interrupt


def flushes(_: int, __: FrameType | None) -> None:
    """Handle a signal: emit and flush."""
    emit()
    agent().flush(0.001)


signal.signal(signal.SIGALRM, emits)
signal.signal(signal.SIGUSR2, flushes)
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGVTALRM, raises)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007 + rng.random() / 1000)
signal.setitimer(signal.ITIMER_VIRTUAL, 0.05, 0.003 + rng.random() / 100)
done = threading.Event()


def interrupt() -> None:
    """Send signals to this process."""
    while not done.wait(rng.random() * 0.01):
        os.kill(os.getpid(), rng.choice([signal.SIGINT, signal.SIGUSR2]))


thread = threading.Thread(target=interrupt)
thread.start()
end_s = time.monotonic() + 0.5
while time.monotonic() < end_s:
    with contextlib.suppress(Interrupt, KeyboardInterrupt):
        emit()
        agent().session(object()).state_change("refused")
while thread.is_alive():
    with contextlib.suppress(Interrupt, KeyboardInterrupt):
        done.set()
        thread.join()
for kind in (signal.SIGALRM, signal.SIGVTALRM, signal.SIGINT, signal.SIGUSR2):
    signal.signal(kind, signal.SIG_IGN)
emit()
