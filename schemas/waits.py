"""For how long the oldest record that a worker has read waits for its commit."""

import time
from collections import deque
from collections.abc import Callable

# Kafka timestamps before 2000 say nothing: such a record counts from its arrival.
PLAUSIBLE_MS = 946_684_800_000


class Waits:
    """The polls of one worker between its source and its commits, in their order.

    The worker writes from its thread, and the server of the metrics reads from its own.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        # Of each poll with records that is not committed: its oldest Kafka timestamp.
        self._oldest_ms: deque[int] = deque()
        self._buffered = 0
        self._committed_ms: int | None = None

    def read(self, oldest_ms: int | None) -> None:
        """Note a poll; None: it has no records."""
        self._committed_ms = None
        if oldest_ms is not None:
            plausible = oldest_ms >= PLAUSIBLE_MS
            self._oldest_ms.append(oldest_ms if plausible else int(self._clock() * 1e3))

    def buffer(self, oldest_ms: int | None) -> None:
        """Note that a poll has passed all steps, and waits for the next commit."""
        self._buffered += oldest_ms is not None

    def commit(self) -> None:
        """Note that all polls that had passed all steps are committed."""
        while self._buffered:
            self._buffered -= 1
            if self._oldest_ms:
                # What follows in the source is as old, until a poll shows what it is.
                self._committed_ms = self._oldest_ms.popleft()

    def seconds(self) -> float:
        """Return for how long the oldest record waits; 0 if none does."""
        try:
            oldest_ms = self._oldest_ms[0]
        except IndexError:
            committed_ms = self._committed_ms
            if committed_ms is None:
                return 0.0
            oldest_ms = committed_ms
        return max(0.0, self._clock() - oldest_ms / 1e3)
