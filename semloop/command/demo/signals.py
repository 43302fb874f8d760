"""Signal handling: Ctrl-C, `kill` and a closed terminal end the demo cleanly."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Turns signals during its block into an exit with the code 128 + signal."""

    def __init__(self) -> None:
        self._received_signal: int | None = None
        self._deferring = False

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
        # The Kafka client and DuckDB replace an exception from a handler by their own.
        if isinstance(error, Exception):
            self.check()

    def check(self) -> None:
        """Exit if a signal was received, even if a library has swallowed the exit."""
        if self._received_signal is not None and not self._deferring:
            sys.exit(128 + self._received_signal)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Defer signals until the end of the block."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        self.check()

    def _received(self, number: int, frame: FrameType | None) -> None:
        # Ignore further signals: they must not interrupt the shutdown.
        for other in ENDING:
            signal.signal(other, signal.SIG_IGN)
        self._received_signal = number
        self.check()
