"""What a storm came to: counts, seconds to recover, memory."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.kill_and_audit import Audit
from tests.storm.flow import Memory

# Shorter lives say nothing of a leak: a process grows until its caches are warm.
WARM_S = 60.0
LONG_LIFE_S = 180.0


@dataclass
class Storm:
    """A storm while it goes on, and what is said of it at the end."""

    seed: int
    minutes: float
    processes: int
    servers: str
    kills: Counter[str] = field(default_factory=Counter)
    recovered_s: dict[str, list[float]] = field(default_factory=dict)
    exits: Counter[int] = field(default_factory=Counter)
    never_recovered: int = 0

    def verdict(self, audit: Audit) -> str:
        """One line with every count."""
        word = "clean" if audit.clean and not self.never_recovered else "NOT CLEAN"
        kills = ", ".join(f"{kind} {n}" for kind, n in sorted(self.kills.items()))
        recovered = "; ".join(
            f"{kind} {statistics.median(s):.1f} (worst {max(s):.1f})"
            for kind, s in sorted(self.recovered_s.items())
            if s
        )
        never = f", {self.never_recovered} never" if self.never_recovered else ""
        many = "process" if self.processes == 1 else "processes"
        return (
            f"{word}: seed {self.seed}, {self.minutes:g} min, {self.processes} {many} "
            f"on {self.servers}: {sum(self.kills.values())} kills ({kills}), "
            f"{audit.produced:,} events, {audit.lost} lost, {audit.doubled} doubled, "
            f"{audit.unknown} unknown; median seconds from kill to next commit: "
            f"{recovered}{never}"
        )


def memory(lives: Sequence[Memory]) -> str:
    """Most memory held, and how fast the longest life grew once it was warm."""
    peak = max((mib for life in lives for _, mib in life.samples), default=0.0)
    longest = max(lives, key=lambda life: life.lived_s)
    if longest.lived_s < LONG_LIFE_S:
        return f"memory: at most {peak:,.0f} MiB"
    warm = [(age, mib) for age, mib in longest.samples if age > WARM_S]
    ages, sizes = zip(*warm, strict=True)
    slope = statistics.linear_regression(ages, sizes).slope * 60
    return (
        f"memory: at most {peak:,.0f} MiB; {slope:+.2f} MiB a minute over "
        f"{longest.lived_s / 60:.0f} minutes of one life"
    )
