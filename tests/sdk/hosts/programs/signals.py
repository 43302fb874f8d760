"""Signals arrive while the program emits: handlers emit, flush, log and raise."""

import contextlib
import os
import signal
import sys
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
    arm()


def arm() -> None:
    """Let the next signal of the timer come; on a busy machine, not before this one."""
    if not done.is_set():
        signal.setitimer(signal.ITIMER_REAL, 0.0005 + rng.random() / 1000)


def raises(number: int, _: FrameType | None) -> None:
    """Handle a signal: raise, if `work` runs; an exception elsewhere ends the host."""
    if inside:
        inside.clear()
        raise KeyboardInterrupt if number == signal.SIGINT else Interrupt


def flushes(_: int, __: FrameType | None) -> None:
    """Handle a signal: emit and flush."""
    emit()
    agent().flush(0.001)


def unraisable(found: "sys.UnraisableHookArgs") -> None:
    """Print an exception of a callback of the interpreter, unless `raises` raised it."""
    if not isinstance(found.exc_value, (KeyboardInterrupt, Interrupt)):
        sys.__unraisablehook__(found)


HANDLERS = {
    signal.SIGALRM: emits,
    signal.SIGUSR2: flushes,
    signal.SIGINT: raises,
    signal.SIGVTALRM: raises,
}


def interrupt() -> None:
    """Send signals to this process."""
    begin.wait()
    while not done.wait(rng.random() * 0.01):
        os.kill(os.getpid(), rng.choice([signal.SIGINT, signal.SIGUSR2]))


def work() -> None:
    """Emit while signals arrive."""
    inside.append(True)
    while time.monotonic() < end_s:
        emit()
        agent().session(object()).state_change("refused")
    inside.clear()


inside: list[bool] = []
begin, done = threading.Event(), threading.Event()
thread = threading.Thread(target=interrupt)
thread.start()
for kind, handler in HANDLERS.items():
    signal.signal(kind, handler)
sys.unraisablehook = unraisable
arm()
signal.setitimer(signal.ITIMER_VIRTUAL, 0.05, 0.003 + rng.random() / 100)
begin.set()
end_s = time.monotonic() + 0.5
while time.monotonic() < end_s:
    with contextlib.suppress(Interrupt, KeyboardInterrupt):
        work()
done.set()
thread.join()
signal.setitimer(signal.ITIMER_REAL, 0)
signal.setitimer(signal.ITIMER_VIRTUAL, 0)
emit()
