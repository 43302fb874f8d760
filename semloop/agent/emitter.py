"""Between agents and the thread that sends: no agent waits for a broker.

emit() -> segment of the spool -> thread -> Sender -> broker

Events may be emitted at any moment: in a signal handler, in a finaliser, after a fork,
while the interpreter exits. So nothing here waits for a lock that another thread, or
the interrupted code of the same one, may hold; a thread is woken by releasing a lock.
"""

import _thread
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable

from semloop.agent import broker_search
from semloop.agent.alarm import Alarm
from semloop.agent.findings import Findings
from semloop.agent.last_thread import is_last_thread, was_forked_by_thread
from semloop.agent.sender import POLL_S, Sender
from semloop.agent.spool.folder import release_all
from semloop.agent.spool.layout import HANDED, WRITTEN
from semloop.agent.spool.names import spool_folder, spool_name
from semloop.agent.spool.writer import Writer
from semloop.agent.tallies import Tallies
from semloop.agent.timeouts import usable_s
from semloop.agent.warn import wait_logged
from semloop.settings import Settings

# Timeout for the thread to end, after that for the broker.
JOIN_S = 2.0
# Pause before the next attempt to start a thread, or after an error in it.
AGAIN_S = 1.0
# At the end of the process, timeout for the handlers of the host's logs.
LOG_S = 1.0


class Emitter:
    """The spool of one process for one broker and topic, and its sending thread.

    Attributes:
        writer: stores the events.
        drops: numbers of dropped events by reason.
        delivered: number of events that the broker has acknowledged.
        finished: number of events that were delivered, or dropped after they were
            stored.
        sent: position of the writer before which all is finished.
        available: whether the broker accepts events; None until that is known.
        closed: True once the process ends; events are then only stored.
    """

    def __init__(self, settings: Settings, on_start: Callable[[], None]) -> None:
        """Create nothing yet; the thread starts with `start` or the first event.

        `on_start` is called in each process before the thread starts.
        """
        self._settings = settings
        self._on_start = on_start
        self._name = spool_name(settings)
        self._reset()

    def _reset(self) -> None:
        """Set the state of a new emitter."""
        agent = self._settings.agent
        folder = spool_folder(self._settings)
        size, memory = agent.spool_mb * 2**20, agent.queue_mb * 2**20
        self.writer = Writer(folder, self._name, size, memory)
        self.drops = Tallies()
        self._findings = Findings(folder)
        self.delivered = self.finished = self.sent = 0
        self.available: bool | None = None
        self._running = _thread.allocate_lock()
        self._start_again_s = 0.0
        self._started = self._has_ended = False
        self._thread_id = 0
        self.closed = self._idle = False
        self._close_by_s = 0.0
        self._alarm = Alarm()
        self._ended = Alarm()
        self._waiting: deque[Alarm] = deque()
        # Last: a signal handler that emits before starts again, too.
        self._pid = os.getpid()

    def emit(self, key: bytes, event: bytes) -> str | None:
        """Store an event, with the key of its record; return why it was dropped."""
        drop_reason = self.offer(key, event)
        if drop_reason is not None:
            self.drops.add(1, drop_reason)
        return drop_reason

    def offer(self, key: bytes, event: bytes, *, again: bool = False) -> str | None:
        """As `emit`, but count no drop; `again`: a header says that it may repeat."""
        if self._pid != os.getpid():
            self._after_c_fork()
        state = HANDED if again else WRITTEN
        drop_reason = self.writer.append(key, event, state)
        if self._idle:
            self._idle = False
            self._alarm.ring()
        elif not self._started:
            self.start()
        return drop_reason

    def start(self) -> None:
        """Start the thread, which connects to the broker."""
        now_s = time.monotonic()
        if self._started or self.closed or now_s < self._start_again_s:
            return
        # No lock: a signal handler may raise at any place here. Of two threads that are
        # started at the same time, one ends immediately.
        self._start_again_s = now_s + AGAIN_S
        try:
            self._on_start()
            # Not `threading.Thread`: it takes a lock, which the code that a signal
            # handler has interrupted may hold.
            _thread.start_new_thread(self._run, ())
        except Exception:  # no more threads, or the interpreter exits
            return
        self._started = True

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker has all events emitted so far; False on timeout."""
        deadline_s = time.monotonic() + usable_s(timeout_s)
        self._after_c_fork()
        target = self.writer.position
        self.start()
        alarm = Alarm()
        self._waiting.append(alarm)
        try:
            self._alarm.ring()
            while self.sent < target:
                is_sender = _thread.get_ident() == self._thread_id
                left_s = deadline_s - time.monotonic()
                ended = self._has_ended or not self._started
                if is_sender or ended or not left_s > 0:
                    return False
                alarm.wait(left_s)
        finally:
            self._waiting.remove(alarm)
        return True

    def close(self, timeout_s: float) -> None:
        """Wait for the broker up to the timeout, and close the files."""
        self.begin_close(timeout_s)
        self.end_close()

    def begin_close(self, timeout_s: float | None = None) -> None:
        """Let the thread end once all is sent, or after a time."""
        if timeout_s is None:
            timeout_s = self._settings.agent.flush_s
        self._after_c_fork()
        self._close_by_s = time.monotonic() + timeout_s
        self.closed = True
        self._alarm.ring()

    def end_close(self) -> None:
        """Wait for the thread to end; what was not sent is in the spool."""
        is_other = self._started and _thread.get_ident() != self._thread_id
        join_s = self._close_by_s + JOIN_S - time.monotonic()
        if is_other and self._ended.wait(join_s):
            self._started = False
        wait_logged(LOG_S)  # before: handlers may emit
        if not self._started and (lost := self.writer.close()):
            self.finished += lost
            self.drops.add(lost, "the process ended, and they were only in memory")

    def after_fork(self) -> None:
        """Start again in a forked child: the events of its parent are the parent's."""
        release_all()
        self._reset()

    def _after_c_fork(self) -> None:
        """Start again in a child that C code forked, which does not call the hooks."""
        if self._pid != os.getpid():
            broker_search.after_fork_in_child()
            self.after_fork()

    def _run(self) -> None:
        if not self._running.acquire(blocking=False):
            return
        self._started = True
        self._thread_id = _thread.get_ident()
        # Only this thread refers to the sender: in a forked child nothing must, as a
        # producer without its threads would wait for them when it is destroyed.
        sender = Sender(self._settings, self.writer.chain, self.drops.add)
        while True:
            try:
                if self._ends(sender):
                    break
                self.writer.maintain()
                pause_s = sender.work()
                self._report(sender)
                if pause_s:
                    self._sleep(sender, pause_s)
            except Exception as error:
                # The host must not fail, and the thread must continue.
                with contextlib.suppress(Exception):
                    sender.restart(type(error).__name__)
                self._alarm.wait(AGAIN_S)
        sender.close()
        self._has_ended = True
        self._report(sender)
        self._ended.ring()

    def _ends(self, sender: Sender) -> bool:
        """Return True if the thread should end now."""
        if not self.closed:
            if not is_last_thread():
                return False
            flush_s = self._settings.agent.flush_s
            self._close_by_s = self._close_by_s or time.monotonic() + flush_s
        sender.begin_close()
        is_late = time.monotonic() > self._close_by_s
        return is_late or sender.done or not sender.may_succeed

    def _sleep(self, sender: Sender, pause_s: float) -> None:
        """Wait for an event, or for some time; the first event may need `sync`."""
        self._idle = sender.wants_events or not self.writer.chain.last.size
        if sender.wants_events and self.writer.position > sender.position:
            self._idle = False  # emitted before `_idle` was set
            return
        if was_forked_by_thread():
            pause_s = min(pause_s, AGAIN_S)
        self._alarm.wait(min(pause_s, POLL_S) if self.closed else pause_s)
        self._idle = False

    def _report(self, sender: Sender) -> None:
        """Publish what the sender has reached, and wake those that wait for it."""
        self.delivered = sender.delivered
        self.finished = sender.finished
        self.available = sender.available
        if sender.position > self.sent or self._has_ended:
            self.sent = sender.position
            for alarm in tuple(self._waiting):
                alarm.ring()
        self._findings.report(self.drops.counts(), self.writer.obstacle)
