"""Counts the events of a process that were dropped."""


class Drops:
    """Numbers of dropped events, by reason; for any thread, without a lock."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}

    def __call__(self, count: int, reason: str) -> None:
        """Count dropped events."""
        tally = self._tallies.setdefault(reason, _Tally())
        tally.count += count  # not interrupted, since it calls nothing

    def by_reason(self) -> dict[str, int]:
        """Return the numbers by reason, in the order of their first events."""
        return {why: tally.count for why, tally in tuple(self._tallies.items())}


class _Tally:
    """A number of events."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0
