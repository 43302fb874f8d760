"""Records that wait until there is space to send them, and counts of all."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from schemas.lines import Record
from sources.following.file import Followed
from sources.following.lines import Made
from sources.transcripts.events import LINE_BYTES_MAX

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

    def put(self, file: Followed, made: list[Made], now: datetime) -> None:
        """Add records of a file; say of each whether it may have been sent before."""
        counts = self.counts
        counts.lines += file.lines_read
        counts.too_long += file.pieces.too_long
        file.lines_read = file.pieces.too_long = 0
        for record, at in made:
            if len(record.value) > LINE_BYTES_MAX:
                counts.too_long += 1
                continue
            # An event that is older than its file may have been sent before.
            fresh = at is not None and file.fresh_from < at <= now
            self._waiting.append((record, file.doubtful or not fresh))
            if record.is_event:
                counts.events += 1
            else:
                counts.dead_letters += 1

    def sent(self) -> bool:
        """Send what waits; return False if there is no space for all."""
        while self._waiting:
            if not self._send(*self._waiting[0]):
                return False
            self._waiting.popleft()
        return True
