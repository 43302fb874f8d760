"""Records that wait until there is space to send them, and counts of all."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from schemas.lines import Record

# Takes a record; `again`: it may have been sent before. False: there is no space now.
Send = Callable[[Record, bool], bool]


@dataclass(slots=True)
class Counts:
    """What was done since the start."""

    lines: int = 0
    events: int = 0
    dead_letters: int = 0
    too_long: int = 0


class Outbox:
    """Sends records in order."""

    def __init__(self, send: Send) -> None:
        """Send nothing yet; `send` takes the records."""
        self.counts = Counts()
        self._send = send
        self._waiting: deque[tuple[Record, bool]] = deque()

    def __bool__(self) -> bool:
        """Whether records wait."""
        return bool(self._waiting)

    def put(self, record: Record, *, again: bool) -> None:
        """Add a record; `again`: it may have been sent before."""
        self._waiting.append((record, again))
        if record.is_event:
            self.counts.events += 1
        else:
            self.counts.dead_letters += 1

    def sent(self) -> bool:
        """Send what waits; return False if there is no space for all."""
        while self._waiting:
            if not self._send(*self._waiting[0]):
                return False
            self._waiting.popleft()
        return True
