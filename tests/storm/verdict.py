"""Result of a storm: counts, recovery times, memory."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.storm.flow import Memory
from tests.support.kill_and_audit import Audit

# Shorter lifetimes do not show a leak: a process grows until its caches are warm.
WARM_S = 60.0
LONG_LIFETIME_S = 180.0


@dataclass
class Storm:
    """Counts of a storm, and the verdict made from them."""

    seed: int
    minutes: float
    processes: int
    servers: str
    kills: Counter[str] = field(default_factory=Counter)
    recovered_s: dict[str, list[float]] = field(default_factory=dict)
    exits: Counter[int] = field(default_factory=Counter)
    never_recovered: int = 0

    def verdict(self, audit: Audit) -> str:
        """Format all counts as one line."""
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
            f"{audit.produced:,} events, {audit.lost} lost, {audit.duplicated} duplicated, "
            f"{audit.unknown} unknown; median seconds from kill to next commit: "
            f"{recovered}{never}"
        )


def memory(lives: Sequence[Memory]) -> str:
    """Format the peak memory, and the growth of the longest-lived process once warm."""
    peak = max((mib for life in lives for _, mib in life.samples), default=0.0)
    longest = max(lives, key=lambda life: life.lifetime_s)
    if longest.lifetime_s < LONG_LIFETIME_S:
        return f"memory: at most {peak:,.0f} MiB"
    warm = [(age, mib) for age, mib in longest.samples if age > WARM_S]
    ages, sizes = zip(*warm, strict=True)
    slope = statistics.linear_regression(ages, sizes).slope * 60
    return (
        f"memory: at most {peak:,.0f} MiB; {slope:+.2f} MiB per minute over "
        f"{longest.lifetime_s / 60:.0f} minutes without a restart"
    )
