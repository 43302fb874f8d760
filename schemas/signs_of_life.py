"""Signs of life of the workers of one process, for the probes of an orchestrator.

The activity files in the lake tell the same about all processes; these cost no request
to the storage, and tell about this process only.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class _Sign:
    at_s: float
    reads: bool


class SignsOfLife:
    """When each worker of this process last finished an item.

    Workers write from their threads, and the server of the probes reads from its own:
    each value is replaced as a whole.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started_s = clock()
        self._workers: dict[int, _Sign] = {}

    def wait(self, worker: int) -> None:
        """Note that a worker waits for what it needs to start, and is not stuck."""
        self._workers[worker] = _Sign(self._clock(), reads=False)

    def beat(self, worker: int) -> None:
        """Note that a worker that owns its tables has finished an item."""
        self._workers[worker] = _Sign(self._clock(), reads=True)

    def end(self, worker: int) -> None:
        """Note that the input of a worker has ended."""
        self._workers.pop(worker, None)

    def is_ready(self, silent_s: float) -> bool:
        """True if every worker owns its tables and has lately finished an item."""
        signs = list(self._workers.values())
        reads = bool(signs) and all(sign.reads for sign in signs)
        return reads and self.is_live(silent_s)

    def is_live(self, silent_s: float) -> bool:
        """True if no worker, and no start, has been silent for longer than that.

        Before the first sign the time counts from the start of the process: a start
        that hangs, because a peer is missing for example, ends as well.
        """
        return self.silence_s() <= silent_s

    def silence_s(self) -> float:
        """Return for how long the quietest worker, or the start, has been silent."""
        signs = [sign.at_s for sign in list(self._workers.values())]
        return self._clock() - min(signs, default=self._started_s)
