"""How long to wait before what died is started again."""

from dataclasses import dataclass

# At once after a first death, later ones at growing intervals: whatever kills it at its
# start should not keep the machine busy, nor the store and the broker.
PAUSES_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# Who lived so long is healthy: the next death is the first one again.
HEALTHY_S = 5.0


@dataclass
class BackOff:
    """Deaths that followed each other quickly."""

    deaths: int = 0

    def pause_s(self, lived_s: float) -> float:
        """The pause after a death, by how long the dead one had lived."""
        if lived_s >= HEALTHY_S:
            self.deaths = 0
        pause_s = PAUSES_S[min(self.deaths, len(PAUSES_S) - 1)]
        self.deaths += 1
        return pause_s
