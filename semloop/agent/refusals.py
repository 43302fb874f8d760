"""What an agent does about invalid events and names: raise, or count and log once."""

import logging
import threading
from contextlib import suppress

from semloop.errors import EventRefused

log = logging.getLogger("semloop")
# Maximum distinct refusals to log; each is logged once.
LOGGED_MAX = 100


class Refusals:
    """The refusals of one agent; thread-safe.

    Attributes:
        strict: whether they are raised.
        count: number of refused events.
    """

    __slots__ = ("_known", "_lock", "count", "strict")

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.count = 0
        self._known: set[str] = set()
        # A signal handler may emit while this thread has the lock.
        self._lock = threading.RLock()

    def refuse(self, error: EventRefused) -> None:
        """Refuse an event.

        Raises:
            EventRefused: `strict`.
        """
        if self.strict:
            raise error
        with self._lock:
            self.count += 1
        self.log_once(error)

    def log_once(self, error: EventRefused) -> None:
        """Log a problem, unless it is known."""
        with self._lock:
            is_new = error.what not in self._known
            is_logged = is_new and len(self._known) < LOGGED_MAX
            if is_logged:
                self._known.add(error.what)
        if is_logged:
            # The host's filters and handlers may raise.
            with suppress(Exception):
                log.warning("%s %s This is logged once.", error.what, error.todo)
