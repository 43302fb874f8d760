"""Counts of dropped events by reason, for any thread and signal handler."""


class _Tally:
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Tallies:
    """Numbers by text."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}

    def add(self, count: int, reason: str) -> None:
        """Add to the number of a reason."""
        tally = self._tallies.setdefault(reason, _Tally())
        # No lock: this line is not interrupted, since it calls nothing.
        tally.count += count

    @property
    def total(self) -> int:
        """The sum of all numbers."""
        return sum(self.counts().values())

    def counts(self) -> dict[str, int]:
        """Return the numbers, the first reason first."""
        return {why: tally.count for why, tally in tuple(self._tallies.items())}
