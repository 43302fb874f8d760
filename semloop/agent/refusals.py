"""What an agent does about invalid events and names: raise, or count and log once."""

import logging
from contextlib import suppress

from semloop.errors import EventRefused

log = logging.getLogger("semloop")
# Maximum distinct refusals to log; each is logged once.
LOGGED_MAX = 100


class Refusals:
    """The refusals of one agent.

    For any thread and signal handler: nothing waits for a lock.

    Attributes:
        strict: whether they are raised.
        count: number of refused events.
    """

    __slots__ = ("_known", "count", "strict")

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.count = 0
        self._known: dict[str, object] = {}

    def refuse(self, error: EventRefused) -> None:
        """Refuse an event.

        Raises:
            EventRefused: `strict`.
        """
        if self.strict:
            raise error
        self.count += 1  # not interrupted, since it calls nothing
        self.log_once(error)

    def log_once(self, error: EventRefused) -> None:
        """Log a problem, unless it is known."""
        own = object()
        is_full = len(self._known) >= LOGGED_MAX
        if not is_full and self._known.setdefault(error.what, own) is own:
            # The host's filters and handlers may raise.
            with suppress(Exception):
                log.warning("%s %s This is logged once.", error.what, error.todo)
