"""The queue between agents and the thread that sends: nobody waits for a broker.

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
from semloop.settings.model import places

log = logging.getLogger("semloop")
# Handed over at once: so few that a caller never waits long for the interpreter.
CHUNK = 100
# For the thread to put what is left into the spool.
JOIN_S = 5.0
_emitters: dict[tuple[object, ...], "Emitter"] = {}
_lock = threading.Lock()


class Emitter:
    """Queue and thread of one process; its methods may be called from any thread."""

    def __init__(self, settings: Settings) -> None:
        """The thread starts with the first event."""
        self._settings = settings
        self._bytes_max = settings.agent.queue_mb * 2**20
        self.dropped = 0
        self._thread: threading.Thread | None = None
        self._sender: Sender | None = None
        self._reset()
        os.register_at_fork(after_in_child=self._forked)
        atexit.register(self._at_exit)

    def emit(self, event: bytes) -> str | None:
        """Queue an event: JSON of one line.

        Returns:
            None, or why there is no place for it.
        """
        with self._lock:
            if self._ending:
                why = "the process ends"
            elif self._bytes + len(event) > self._bytes_max:
                why = "the queue is full"
            else:
                self._bytes += len(event)
                self._taken += 1
                self._queue.append(event)
                if self._thread is None:
                    self._start()
                self._wake.set()
                return None
            self._drop(1, why)
            return why

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker has what was emitted so far; False: not in time."""
        with self._lock:
            wanted = self._taken
            return self._changed.wait_for(lambda: self._done >= wanted, timeout_s)

    def close(self, timeout_s: float) -> None:
        """Wait so long for the broker, then leave the rest in the spool."""
        self.flush(timeout_s)
        with self._lock:
            self._ending = True
            thread, self._thread = self._thread, None
        self._wake.set()
        if thread is not None:
            thread.join(JOIN_S)

    def _forked(self) -> None:
        """A forked process has no thread, and sends nothing of its parent's."""
        if self._sender is not None:
            self._sender.forget()
        self.dropped = 0
        self._reset()

    def _reset(self) -> None:
        """As new."""
        self._queue: deque[bytes] = deque()
        self._bytes = self._taken = self._done = 0
        self._ending = self._told = False
        self._lock: threading.Lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._wake: threading.Event = threading.Event()
        self._thread = None

    def _start(self) -> None:
        # A process that `multiprocessing` forked never gets to `atexit`.
        if util := sys.modules.get("multiprocessing.util"):
            util.Finalize(None, self._at_exit, exitpriority=0)
        self._thread = threading.Thread(target=self._run, name="semloop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        sender = self._sender = Sender(self._settings, self._settled)
        while True:
            self._wake.wait(POLL_S if self._queue else sender.pause_s)
            self._wake.clear()
            events: list[bytes] = []
            try:
                while (self._ending or sender.ready) and (events := self._next()):
                    sender.send(events)
                    events = []
                    sender.work()
                sender.work()
                if self._ending and not self._queue:
                    sender.close()
                    return
            except Exception as error:
                # An agent must not suffer, and its next events deserve another try.
                self._settled(len(events), f"{type(error).__name__} in the sender")

    def _next(self) -> list[bytes]:
        with self._lock:
            count = min(CHUNK, len(self._queue))
            events = [self._queue.popleft() for _ in range(count)]
            self._bytes -= sum(map(len, events))
            return events

    def _settled(self, count: int, why: str | None) -> None:
        with self._lock:
            self._done += count
            if why is not None:
                self._drop(count, why)
            self._changed.notify_all()

    def _drop(self, count: int, why: str) -> None:
        self.dropped += count
        if not self._told:
            self._told = True
            log.warning("Events are dropped: %s. This is said once.", why)

    def _at_exit(self) -> None:
        if self._thread is not None:
            self.close(self._settings.agent.flush_s)


# Whoever forks holds it, so that in no new process somebody else does.
os.register_at_fork(
    before=_lock.acquire,
    after_in_parent=_lock.release,
    after_in_child=_lock._at_fork_reinit,  # type: ignore[attr-defined]
)


def emitter_of(settings: Settings) -> Emitter:
    """The one emitter of this process for a broker, a way in, a topic and a spool."""
    concerned = ("kafka", "lake", "topic", "spool", "agent_")
    names = [n for n in places() if n.startswith(concerned)]
    key = tuple(settings.value(name) for name in names)
    with _lock:
        if key not in _emitters:
            _emitters[key] = Emitter(settings)
        return _emitters[key]
