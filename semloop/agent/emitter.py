"""Between agents and the thread that sends: no agent waits for a broker.

emit() -> segment of the spool -> thread -> Sender -> broker

Events may be emitted at any moment: in a signal handler, in a finaliser, after a fork,
while the interpreter exits. So nothing here waits for a lock that another thread, or
the interrupted code of the same one, may hold; a thread is woken by releasing a lock.
"""

import _thread
import atexit
import contextlib
import os
import sys
import threading
import time
from collections import deque

from semloop.agent import broker_search
from semloop.agent.drops import Drops
from semloop.agent.sender import POLL_S, Sender
from semloop.agent.spool.names import spool_folder, spool_name
from semloop.agent.spool.writer import Writer
from semloop.agent.timeouts import usable_s
from semloop.agent.warn import warn
from semloop.settings import Settings
from semloop.settings.model import setting_fields

# Timeout for the thread to end, after that for the broker.
JOIN_S = 2.0
# Pause before the next attempt to start a thread.
START_AGAIN_S = 1.0
_emitters: dict[tuple[object, ...], "Emitter"] = {}


class Emitter:
    """The spool of one process for one broker and topic, and its sending thread.

    Attributes:
        delivered: number of events that the broker has acknowledged.
        available: whether the broker accepts events; None until that is known.
    """

    available: bool | None
    _close_by_s: float | None
    _idle: bool
    _start_again_s: float
    _started: bool

    def __init__(self, settings: Settings) -> None:
        """Create nothing yet; the thread starts with `start` or the first event."""
        self._settings = settings
        self._name = spool_name(settings)
        self._reset()

    @property
    def dropped(self) -> int:
        """Number of events that were dropped."""
        return sum(self.drops().values())

    def drops(self) -> dict[str, int]:
        """Return the number of dropped events by reason."""
        return self._drop.by_reason()

    @property
    def emitted(self) -> int:
        """Number of events stored, in the spool or in memory."""
        return self._writer.emitted

    def emit(self, key: bytes, event: bytes) -> str | None:
        """Store an event, to be sent.

        Args:
            key: the key of its record in Kafka.
            event: one line of JSON.

        Returns:
            None, or why the event was dropped.
        """
        if self._pid != os.getpid():  # not a call more for each event
            self._after_c_fork()
        drop_reason = self._writer.append(key, event)
        if drop_reason is not None:
            self._drop(1, drop_reason)
        if self._idle:
            self._wake()
        elif not self._started:
            self.start()
        return drop_reason

    def start(self) -> None:
        """Start the thread, which connects to the broker."""
        now_s = time.monotonic()
        if self._started or self._closed or now_s < self._start_again_s:
            return
        if not self._starting.acquire(blocking=False):
            return  # another thread, or the code that this one interrupts, does so
        try:
            # A child process of `multiprocessing` does not run `atexit` handlers.
            if util := sys.modules.get("multiprocessing.util"):
                util.Finalize(None, close_all, exitpriority=0)
            # Not `threading.Thread`: it takes a lock, which the code that a signal
            # handler has interrupted may hold.
            _thread.start_new_thread(self._run, ())
        except Exception:  # no more threads, or the interpreter exits
            self._start_again_s = now_s + START_AGAIN_S
            self._starting.release()
        else:
            self._started = True

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker has all events emitted so far; False on timeout."""
        deadline_s = time.monotonic() + usable_s(timeout_s)
        self._after_c_fork()
        target = self._writer.position
        self.start()
        waiter = _thread.allocate_lock()
        waiter.acquire()
        self._waiters.append(waiter)
        try:
            self._wake()
            while self._sent < target:
                left_s = min(deadline_s - time.monotonic(), _thread.TIMEOUT_MAX)
                is_sender = _thread.get_ident() == self._thread_id
                ended = not (self._started and self._ended.locked())
                if left_s <= 0 or is_sender or ended:
                    return False
                waiter.acquire(timeout=left_s)
        finally:
            self._waiters.remove(waiter)
        return True

    def close(self, timeout_s: float) -> None:
        """Wait for the broker up to the timeout, and close the files."""
        deadline_s = time.monotonic() + timeout_s
        self.begin_close(deadline_s)
        self.end_close(deadline_s)

    def begin_close(self, deadline_s: float) -> None:
        """Let the thread end once all is sent, or at this time of the clock."""
        self._after_c_fork()
        self._closed = True
        self._close_by_s = deadline_s
        self._wake()

    def end_close(self, deadline_s: float) -> None:
        """Wait for the thread to end; what was not sent is in the spool."""
        if self._started and _thread.get_ident() != self._thread_id:
            left_s = deadline_s + JOIN_S - time.monotonic()
            if self._ended.acquire(timeout=max(0.0, left_s)):
                self._started = False
        if not self._started:
            self._close_files()

    def after_fork(self) -> None:
        """Start anew in a forked child: the events of its parent are the parent's."""
        self._writer.release()
        self._reset()

    def _after_c_fork(self) -> None:
        """Start anew in a child that C code forked, which does not call the hooks."""
        if self._pid == os.getpid():
            return
        broker_search.after_fork_in_child()
        for emitter in (self, *_emitters.values()):
            if emitter._pid != os.getpid():
                emitter.after_fork()

    def _reset(self) -> None:
        """Set the state of a new emitter."""
        self._pid = os.getpid()
        agent = self._settings.agent
        folder = spool_folder(self._settings)
        size, memory = agent.spool_mb * 2**20, agent.queue_mb * 2**20
        self._writer = Writer(folder, self._name, size, memory)
        self._sent = 0
        self.delivered = 0
        self.available = None
        self._drop = Drops()
        self._drop_logged = False
        self._starting = _thread.allocate_lock()
        self._started = self._closed = self._idle = False
        self._start_again_s = 0.0
        main_thread = threading.main_thread()
        self._forked_by_thread = type(main_thread).__name__ != "_MainThread"
        self._close_by_s = None
        self._thread_id = 0
        self._waiters: deque[_thread.LockType] = deque()
        self._alarm = _thread.allocate_lock()
        self._alarm.acquire()
        self._ended = _thread.allocate_lock()
        self._ended.acquire()

    def _run(self) -> None:
        self._thread_id = _thread.get_ident()
        # Only this thread refers to the sender: in a forked child nothing must, as a
        # producer without its threads would wait for them when it is destroyed.
        sender = Sender(self._settings, self._writer.chain, self._drop)
        while not self._ends(sender):
            try:
                pause_s = sender.work()
            except Exception as error:
                # The host must not fail, and the thread must go on.
                pause_s = START_AGAIN_S
                with contextlib.suppress(Exception):
                    sender.restart(type(error).__name__)
            self._report(sender)
            if pause_s != 0:
                self._sleep(sender, pause_s)
        sender.close()
        self._report(sender)
        self._ended.release()
        self._wake_waiters()

    def _ends(self, sender: Sender) -> bool:
        """Return True if the thread should end now."""
        if self._close_by_s is None:
            if not self._forked_by_thread or threading.main_thread().is_alive():
                return False
            # The process ends with its last thread, which would be this one.
            self._close_by_s = time.monotonic() + self._settings.agent.flush_s
        sender.begin_close()
        is_late = time.monotonic() > self._close_by_s
        return is_late or sender.done or not sender.may_succeed

    def _sleep(self, sender: Sender, pause_s: float) -> None:
        """Wait for an event, or for some time."""
        self._idle = sender.wants_events
        if self._idle and self._writer.position > sender.position:
            self._idle = False  # emitted before `_idle` was set
            return
        if self._closed:
            pause_s = min(pause_s, POLL_S)
        elif self._forked_by_thread:
            pause_s = min(pause_s, START_AGAIN_S)
        self._alarm.acquire(timeout=pause_s)
        self._idle = False

    def _wake(self) -> None:
        self._idle = False
        if self._alarm.locked():
            try:
                self._alarm.release()
            except RuntimeError:
                return  # another thread did so

    def _report(self, sender: Sender) -> None:
        """Publish what the sender has reached, and wake those that wait for it."""
        self.delivered = sender.delivered
        self.available = sender.available
        if sender.position > self._sent:
            self._sent = sender.position
            self._wake_waiters()
        if not self._drop_logged and (reasons := self.drops()):
            self._drop_logged = True
            why = next(iter(reasons))
            warn("Events are dropped: %s. This is logged once.", why)

    def _wake_waiters(self) -> None:
        for waiter in tuple(self._waiters):
            if waiter.locked():
                waiter.release()

    def _close_files(self) -> None:
        lost = self._writer.close()
        if lost:
            self._drop(lost, "the process ended, and they were only in memory")


def emitter_of(settings: Settings) -> Emitter:
    """Return the process-wide emitter for broker, credentials, topic and spool."""
    prefixes = ("kafka", "lake", "topic", "spool", "agent_")
    names = [n for n in setting_fields() if n.startswith(prefixes)]
    key = tuple(settings.value(name) for name in names)
    found = _emitters.get(key)
    # No lock: of two emitters that are created at the same time one is never used.
    return found if found is not None else _emitters.setdefault(key, Emitter(settings))


def close_all() -> None:
    """Send what is left, each emitter for at most its `SEMLOOP_AGENT_FLUSH_S`."""
    now_s = time.monotonic()
    closing = [
        (emitter, now_s + emitter._settings.agent.flush_s)
        for emitter in tuple(_emitters.values())
        if not emitter._closed
    ]
    for emitter, deadline_s in closing:
        emitter.begin_close(deadline_s)
    for emitter, deadline_s in closing:
        emitter.end_close(deadline_s)


def _after_fork() -> None:
    for emitter in tuple(_emitters.values()):
        emitter.after_fork()


atexit.register(close_all)
os.register_at_fork(after_in_child=_after_fork)
