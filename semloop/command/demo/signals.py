"""Ctrl-C, `kill` and a closed terminal: they end the demo with all that it started."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Signals leave its block as an exit, by the code that a shell gives them."""

    def __init__(self) -> None:
        self._asked: int | None = None
        self._held = False

    def __enter__(self) -> Self:
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` sets it
                signal.signal(number, self._received)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Kafka's client and DuckDB make errors of their own of what a handler raises.
        if isinstance(error, Exception):
            self.check()

    def check(self) -> None:
        """Leave if a signal came, also if a library has swallowed the exit."""
        if self._asked is not None and not self._held:
            sys.exit(128 + self._asked)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What runs in this block is finished before a signal is heeded."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.check()

    def _received(self, number: int, frame: FrameType | None) -> None:
        # The first one counts: what it ends is not to be broken off by the next.
        for other in ENDING:
            signal.signal(other, signal.SIG_IGN)
        self._asked = number
        self.check()
