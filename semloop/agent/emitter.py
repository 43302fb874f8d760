"""The queue between agents and the sending thread: no agent waits for a broker.

emit() -> queue (bounded) -> thread -> Sender -> broker, or spool
"""

import atexit
import logging
import os
import sys
import threading
from collections import deque

from semloop.agent.sender import POLL_S, Sender
from semloop.settings import Settings
from semloop.settings.model import setting_fields

log = logging.getLogger("semloop")
# Events per batch to the sender: few, so that a caller never waits long for the GIL.
BATCH_EVENTS = 100
# Timeout for the thread to spool the remaining events.
JOIN_S = 5.0
_emitters: dict[tuple[object, ...], "Emitter"] = {}
_lock = threading.Lock()


class Emitter:
    """Queue and sending thread of one process; thread-safe."""

    def __init__(self, settings: Settings) -> None:
        """Create the queue; the thread starts with the first event."""
        self._settings = settings
        self._bytes_max = settings.agent.queue_mb * 2**20
        self.dropped = 0
        self._thread: threading.Thread | None = None
        self._sender: Sender | None = None
        self._reset()
        os.register_at_fork(after_in_child=self._after_fork)
        atexit.register(self._at_exit)

    def emit(self, event: bytes) -> str | None:
        """Queue an event, one line of JSON.

        Returns:
            None, or why the event was dropped.
        """
        with self._lock:
            if self._closing:
                drop_reason = "the process is exiting"
            elif self._bytes + len(event) > self._bytes_max:
                drop_reason = "the queue is full"
            else:
                self._bytes += len(event)
                self._queued += 1
                self._queue.append(event)
                if self._thread is None:
                    self._start()
                self._wake.set()
                return None
            self._drop(1, drop_reason)
            return drop_reason

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker has all events emitted so far; False on timeout."""
        with self._lock:
            target = self._queued
            return self._changed.wait_for(lambda: self._done >= target, timeout_s)

    def close(self, timeout_s: float) -> None:
        """Wait for the broker up to the timeout, then spool the remaining events."""
        self.flush(timeout_s)
        with self._lock:
            self._closing = True
            thread, self._thread = self._thread, None
        self._wake.set()
        if thread is not None:
            thread.join(JOIN_S)

    def _after_fork(self) -> None:
        """Reset a forked child: it has no thread and sends no events of its parent."""
        if self._sender is not None:
            self._sender.release_files()
        self.dropped = 0
        self._reset()

    def _reset(self) -> None:
        """Set the state of a new emitter."""
        self._queue: deque[bytes] = deque()
        self._bytes = self._queued = self._done = 0
        self._closing = self._drop_logged = False
        self._lock: threading.Lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._wake: threading.Event = threading.Event()
        self._thread = None

    def _start(self) -> None:
        # A child process of `multiprocessing` does not run `atexit` handlers.
        if util := sys.modules.get("multiprocessing.util"):
            util.Finalize(None, self._at_exit, exitpriority=0)
        self._thread = threading.Thread(target=self._run, name="semloop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        sender = self._sender = Sender(self._settings, self._acknowledged)
        while True:
            self._wake.wait(POLL_S if self._queue else sender.pause_s)
            self._wake.clear()
            events: list[bytes] = []
            try:
                while (self._closing or sender.ready) and (events := self._next()):
                    sender.send(events)
                    events = []
                    sender.work()
                sender.work()
                if self._closing and not self._queue:
                    sender.close()
                    return
            except Exception as error:
                # The agent must not fail, and the thread must send its next events.
                reason = f"{type(error).__name__} in the sender"
                self._acknowledged(len(events), reason)

    def _next(self) -> list[bytes]:
        with self._lock:
            count = min(BATCH_EVENTS, len(self._queue))
            events = [self._queue.popleft() for _ in range(count)]
            self._bytes -= sum(map(len, events))
            return events

    def _acknowledged(self, count: int, drop_reason: str | None) -> None:
        with self._lock:
            self._done += count
            if drop_reason is not None:
                self._drop(count, drop_reason)
            self._changed.notify_all()

    def _drop(self, count: int, reason: str) -> None:
        self.dropped += count
        if not self._drop_logged:
            self._drop_logged = True
            log.warning("Events are dropped: %s. This is logged once.", reason)

    def _at_exit(self) -> None:
        if self._thread is not None:
            self.close(self._settings.agent.flush_s)


# The forking thread holds this lock, so no other thread can hold it in the child.
os.register_at_fork(
    before=_lock.acquire,
    after_in_parent=_lock.release,
    after_in_child=_lock._at_fork_reinit,  # type: ignore[attr-defined]
)


def emitter_of(settings: Settings) -> Emitter:
    """Return the process-wide emitter for broker, credentials, topic and spool."""
    prefixes = ("kafka", "lake", "topic", "spool", "agent_")
    names = [n for n in setting_fields() if n.startswith(prefixes)]
    key = tuple(settings.value(name) for name in names)
    with _lock:
        if key not in _emitters:
            _emitters[key] = Emitter(settings)
        return _emitters[key]
