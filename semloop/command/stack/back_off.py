"""Pauses before a process that died is restarted."""

import signal
from dataclasses import dataclass

# The first restart is immediate, later pauses grow: a process that dies at its start
# must not load the machine, the store and the broker.
PAUSES_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# A process that lived this long is healthy: the next death counts as the first again.
HEALTHY_S = 5.0
# A process that another one ends did not fail by itself, however young it was: members
# are replaced one after the other.
TERMINATED = {-signal.SIGTERM, 128 + signal.SIGTERM}
ENDED_PAUSE_S = 1.0
# The kernel may kill each one that starts, when memory is short.
KILLS_MAX = 3


@dataclass
class BackOff:
    """Counts deaths in quick succession."""

    deaths: int = 0

    def pause_s(self, lived_s: float, code: int) -> float:
        """Return the pause after the death of a process.

        Args:
            lived_s: how long it lived, seconds.
            code: its exit code, negative for a signal.
        """
        if lived_s >= HEALTHY_S:
            self.deaths = 0
        pause_s = PAUSES_S[min(self.deaths, len(PAUSES_S) - 1)]
        self.deaths += 1
        is_killed = code == -signal.SIGKILL and self.deaths <= KILLS_MAX
        if is_killed or code in TERMINATED:
            return min(pause_s, ENDED_PAUSE_S)
        return pause_s
